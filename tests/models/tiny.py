"""A detector of a few thousand weights and a batch that it can learn from."""

import keras
import numpy as np
import tensorflow as tf

from mrcnn_tf import MaskRCNN

NUM_CLASSES = 3
LOSS_NAMES = ["rpn_objectness_loss", "rpn_box_loss", "class_loss", "box_loss", "mask_loss"]
ARGUMENTS = {
    "backbone": "resnet18",
    "num_classes": NUM_CLASSES,
    "image_size": (96, 128),
    "backbone_channels": 8,
    "fpn_channels": 32,
    "anchor_sizes": (8, 16, 32, 64, 128),
    "rpn_pre_nms_top_n": (64, 64),
    "rpn_post_nms_top_n": (64, 32),
    "anchors_per_image": 32,
    "rois_per_image": 32,
    "roi_canonical_size": 56,
    "sampling_ratio": 1,
    "box_fc": (32,),
    "mask_channels": 16,
    "mask_convs": 1,
    "keypoint_channels": 8,
    "keypoint_convs": 1,
    "max_detections": 12,
}


def tiny_model(seed: int = 0, **overrides) -> MaskRCNN:
    """A model whose scores and boxes are spread out although nothing has trained it."""
    keras.utils.set_random_seed(seed)
    model = MaskRCNN(**{**ARGUMENTS, **overrides})
    predictors = [model.rpn.logits, model.rpn.deltas, model.box_head.logits, model.box_head.deltas]
    if model.mask:
        predictors.append(model.mask_head.logits)
    for layer, factor in zip(predictors, (50, 5, 6, 50, 60), strict=False):
        layer.kernel.assign(layer.kernel * factor)
    return model


def tiny_batch(batch: int = 2, height: int = 64, width: int = 96, objects: int = 3, seed: int = 0):
    """`(x, y)` as `mrcnn_tf.data.coco` gives them: bright rectangles on a dark ground."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 60, (batch, height, width, 3), dtype=np.uint8)
    boxes = np.zeros((batch, objects, 4), np.float32)
    classes = rng.integers(0, NUM_CLASSES, (batch, objects)).astype(np.int32)
    shapes = np.zeros((batch, objects, 2), np.int32)
    masks = []
    for image in range(batch):
        crops = [np.zeros(0, np.uint8)]
        for index in range(objects):
            w, h = rng.integers(12, 40, 2)
            x, y = rng.integers(0, width - w), rng.integers(0, height - h)
            images[image, y : y + h, x : x + w, classes[image, index]] = 230
            boxes[image, index] = x, y, x + w, y + h
            shapes[image, index] = h, w
            crops.append(np.packbits(np.ones(h * w, np.uint8)))
        masks.append(np.concatenate(crops))
    longest = max(len(row) for row in masks)
    y = {
        "boxes": boxes,
        "classes": classes,
        "is_crowd": np.zeros((batch, objects), bool),
        "image_id": np.arange(100, 100 + batch, dtype=np.int64),
        "masks": np.stack([np.pad(row, (0, longest - len(row))) for row in masks]),
        "mask_shapes": shapes,
        "mask_boxes": boxes.copy(),
    }
    x = {"images": images, "image_sizes": np.tile(np.int32([[height, width]]), (batch, 1))}
    return tf.nest.map_structure(tf.constant, (x, y))


def with_padding(y: dict, rows: int) -> dict:
    """The same objects with rows of padding behind them."""
    padded = {}
    for name, value in y.items():
        value = tf.convert_to_tensor(value)
        if name in ("image_id", "masks"):
            padded[name] = value
            continue
        paddings = [[0, 0], [0, rows]] + [[0, 0]] * (value.shape.rank - 2)
        if name == "is_crowd":
            padded[name] = tf.pad(value, paddings, constant_values=False)
        else:
            padded[name] = tf.pad(value, paddings, constant_values=-1 if name == "classes" else 0)
    return padded


def check_detections(found, sizes, masks=True):
    """The output contract, for real image sizes."""
    batch, rows = found["classes"].shape
    assert found["boxes"].dtype == found["scores"].dtype == np.float32
    assert found["classes"].dtype == found["num_detections"].dtype == np.int32
    is_kept = np.arange(rows)[None] < found["num_detections"][:, None]
    np.testing.assert_array_equal(found["classes"] >= 0, is_kept)
    assert (found["classes"][~is_kept] == -1).all()
    names = ["boxes", "scores", *(["masks"] if masks else [])]
    for name in names:
        assert not found[name][~is_kept].any(), name
        assert np.isfinite(found[name]).all(), name
    for image, (height, width) in enumerate(sizes):
        boxes = found["boxes"][image]
        assert boxes.min() >= 0 and boxes[:, 2].max() <= width and boxes[:, 3].max() <= height
        assert (np.diff(found["scores"][image]) <= 0).all()
    if masks:
        assert found["masks"].dtype == np.float32
        kept = found["masks"][is_kept]
        assert (kept > 0).all() and (kept < 1).all()
