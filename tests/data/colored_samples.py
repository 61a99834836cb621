"""Samples whose objects are told apart by their colours, to find them again wherever they go."""

import numpy as np

from mrcnn_tf.data.instance_masks import paint_crop, tight_crop
from mrcnn_tf.data.keypoints import mirrored_order
from mrcnn_tf.data.sample import Sample
from mrcnn_tf.data.transforms import FILL

# The corners of the colour cube: a mixture of one with the ground is near that one or the ground.
COLORS = np.array([[255 * (i >> k & 1) for k in range(3)] for i in range(8)], np.uint8)
JOINTS = ["middle", "left", "right"]


def colored_sample(image_id, shape=(90, 120), colors=range(8), masked=True):
    """Ellipses and bars that do not touch, of one class a colour, with a joint in the middle."""
    rng = np.random.default_rng(image_id)
    height, width = shape
    image = np.full([height, width, 3], FILL, np.uint8)
    y, x = np.mgrid[:height, :width]
    boxes, classes, crops, joints = [], [], [], []
    taken = np.zeros(shape, bool)
    for color in colors:
        for _ in range(20):
            ry, rx = rng.uniform(5, height / 5), rng.uniform(5, width / 5)
            cy, cx = rng.uniform(ry, height - ry), rng.uniform(rx, width - rx)
            away = np.stack([abs(y + 0.5 - cy) / ry, abs(x + 0.5 - cx) / rx])
            mask = (away**2).sum(axis=0) < 1 if color % 2 else away.max(axis=0) < 1
            near = (away.max(axis=0) < 1.5) | (abs(y - cy) < ry + 3) & (abs(x - cx) < rx + 3)
            if not (near & taken).any():
                break
        else:
            continue
        taken |= near
        crop, box = tight_crop(mask)
        image[mask] = COLORS[color]
        boxes.append(box)
        classes.append(color)
        crops.append(crop if masked else None)
        rows, columns = np.nonzero(mask)
        cy, cx = rows.mean() + 0.5, columns.mean() + 0.5
        joints.append([(cx, cy, 2), (cx - 4, cy, 2), (cx + 4, cy, 2)])
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    return Sample(
        image=image,
        image_id=image_id,
        boxes=boxes,
        classes=np.array(classes, np.int32),
        is_crowd=np.zeros(len(classes), bool),
        crops=crops,
        mask_boxes=boxes.copy() if masked else np.zeros_like(boxes),
        keypoints=np.array(joints, np.float32).reshape(-1, 3, 3),
        mirrored_joints=mirrored_order(JOINTS),
    )


def pixels_of(image, color):
    """Which pixels are nearer to a colour than to the ground and the other colours."""
    palette = np.concatenate([COLORS, [FILL]]).astype(np.int32)
    away = ((image[..., None, :].astype(np.int32) - palette) ** 2).sum(axis=-1)
    return away.argmin(axis=-1) == color


def mask_of(sample, i, fineness=1):
    """The mask of an object at the size of the image, or at so many times that size."""
    canvas = np.zeros(np.array(sample.image.shape[:2]) * fineness, bool)
    paint_crop(sample.crops[i], sample.mask_boxes[i] * fineness, canvas)
    return canvas


def touched(sample, i):
    """The pixels of the image that the mask of an object lies on, be it in part."""
    height, width = sample.image.shape[:2]
    return mask_of(sample, i, 8).reshape(height, 8, width, 8).any(axis=(1, 3))


def grown(mask):
    """A mask and all pixels beside it."""
    padded = np.pad(mask, 1)
    rows = padded[:-2] | padded[1:-1] | padded[2:]
    return rows[:, :-2] | rows[:, 1:-1] | rows[:, 2:]


def shrunk(mask):
    """The pixels of a mask that have none outside of it, or of the image, beside them."""
    return ~grown(np.pad(~mask, 1, constant_values=True))[1:-1, 1:-1]
