"""Inputs of the benchmarks: seeded, in NumPy, the same for both sides.

`shrink` divides every size: 1 is the case as it is named, 8 one that runs in milliseconds.
"""

import numpy as np

from mrcnn_tf.benchmark.roi_cells import levels_of

STRIDES = (4, 8, 16, 32)
ANCHOR_SIZES = {4: 32, 8: 64, 16: 128, 32: 256, 64: 512}
ANCHOR_RATIOS = (0.5, 1.0, 2.0)

Arrays = dict[str, np.ndarray]


def roi_align(count: int, bins: int, strides: tuple[int, ...]):
    """Boxes and feature maps of 256 channels."""

    def make(rng: np.random.Generator, shrink: int) -> Arrays:
        height, width = image_size(shrink)
        arrays = {"boxes": spread_boxes(rng, count // shrink, shrink), "bins": np.int64(bins)}
        arrays["strides"] = np.int64(strides)
        arrays["image_size"] = np.int64([height, width])
        for level, stride in enumerate(strides):
            shape = (1, padded(height) // stride, padded(width) // stride, 256 // shrink)
            arrays[f"features{level}"] = rng.standard_normal(shape, np.float32)
        arrays["gradient"] = rng.standard_normal(
            (1, count // shrink, bins, bins, 256 // shrink), np.float32
        )
        arrays["levels"] = levels_of(arrays["boxes"], len(strides))
        return arrays

    return make


def nms(max_output: int):
    """12,000 boxes of one class."""

    def make(rng: np.random.Generator, shrink: int) -> Arrays:
        count = 12_000 // shrink
        return {
            "boxes": spread_boxes(rng, count, shrink),
            "scores": distinct_scores(rng, count),
            "iou_threshold": np.float32(0.7),
            "max_output": np.int64(max_output // shrink),
        }

    return make


def batched_nms(rng: np.random.Generator, shrink: int) -> Arrays:
    """1000 boxes with a score and a box of its own in each of 80 classes."""
    count, classes = 1000 // shrink, 80
    boxes = spread_boxes(rng, count, shrink)[:, None]
    sides = np.tile(boxes[..., 2:] - boxes[..., :2], 2)
    jitter = rng.normal(0, 0.05, (count, classes, 4)) * sides
    return {
        "boxes": (boxes + jitter).astype(np.float32),  # [N, K, 4]
        "scores": distinct_scores(rng, count * classes).reshape(count, classes),
        "iou_threshold": np.float32(0.5),
        "score_threshold": np.float32(0.05),
        "max_output": np.int64(100 // shrink),
    }


def proposals(rng: np.random.Generator, shrink: int) -> Arrays:
    """Outputs of an RPN that finds 30 objects: likely and unlikely anchors lie in groups."""
    height, width = image_size(shrink)
    objects = spread_boxes(rng, 30, shrink)
    arrays = {
        "image_size": np.int64([height, width]),
        "pre_nms_top_n": np.int64(2000 // shrink),
        "post_nms_top_n": np.int64(1000 // shrink),
        "nms_threshold": np.float32(0.7),
    }
    for level, anchors in enumerate(make_anchors(shrink)):
        overlap = np.zeros(len(anchors), np.float32)
        for box in objects:
            overlap = np.maximum(overlap, iou_with(anchors, box))
        noise = rng.standard_normal(len(anchors), np.float32)
        arrays[f"anchors{level}"] = anchors
        arrays[f"logits{level}"] = noise - 5 + 10 * overlap
        deltas = rng.standard_normal((len(anchors), 4), np.float32)
        arrays[f"deltas{level}"] = np.float32(0.2) * deltas
    return arrays


def masks_to_rle(rng: np.random.Generator, shrink: int) -> Arrays:
    """Smooth blobs as a mask head gives them, a third of them with a second lobe."""
    count = max(100 // shrink, 4)
    rows, columns = np.mgrid[:28, :28] / 13.5 - 1
    logits = np.full((count, 28, 28), -np.inf)
    for i in range(count):
        for _ in range(1 + (i % 3 == 0)):
            x, y = rng.uniform(-0.3, 0.3, 2)
            a, b = rng.uniform(0.4, 1.0, 2)
            angle = rng.uniform(0, np.pi)
            along = (columns - x) * np.cos(angle) + (rows - y) * np.sin(angle)
            across = (rows - y) * np.cos(angle) - (columns - x) * np.sin(angle)
            logits[i] = np.maximum(logits[i], 6 * (1 - (along / a) ** 2 - (across / b) ** 2))
    return {
        "masks": (1 / (1 + np.exp(-np.maximum(logits, -60)))).astype(np.float32),
        "boxes": spread_boxes(rng, count, shrink),
        "image_size": np.int64(image_size(shrink)),
    }


def match_boxes(rng: np.random.Generator, shrink: int) -> Arrays:
    """All anchors of an image and 100 objects."""
    return {
        "anchors": np.concatenate(make_anchors(shrink)),
        "boxes": spread_boxes(rng, max(100 // shrink, 4), shrink),
    }


def mask_targets(rng: np.random.Generator, shrink: int) -> Arrays:
    """Ellipses as bit-packed crops and as whole images, and the positive RoIs of a step."""
    height, width = image_size(shrink)
    boxes = np.round(spread_boxes(rng, max(20 // shrink, 4), shrink))
    whole = np.zeros((len(boxes), height, width), np.uint8)
    shapes, packed = [], []
    for mask, (x1, y1, x2, y2) in zip(whole, boxes.astype(int), strict=True):
        rows = (np.arange(y2 - y1) + 0.5) / (y2 - y1) * 2 - 1
        columns = (np.arange(x2 - x1) + 0.5) / (x2 - x1) * 2 - 1
        crop = (rows[:, None] ** 2 + columns**2 <= 1).astype(np.uint8)
        mask[y1:y2, x1:x2] = crop
        shapes.append(crop.shape)
        packed.append(np.packbits(crop))
    matches = rng.integers(0, len(boxes), max(128 // shrink, 8)).astype(np.int32)
    sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)[matches]
    rois = boxes[matches] + rng.normal(0, 0.08, (len(matches), 4)) * sides
    return {
        "masks": np.concatenate(packed),
        "mask_shapes": np.int32(shapes),
        "mask_boxes": boxes,
        "whole_masks": whole,
        "rois": np.clip(rois, 0, [width, height] * 2).astype(np.float32),
        "matches": matches,
        "image_size": np.int64([height, width]),
    }


def image_size(shrink: int) -> tuple[int, int]:
    return 800 // shrink, 1333 // shrink


def padded(side: int) -> int:
    return -(-side // 32) * 32


def spread_boxes(rng: np.random.Generator, count: int, shrink: int) -> np.ndarray:
    """Boxes all over the image, sides log-uniform from 16 to 512 px, clipped: [N, 4] float32."""
    height, width = image_size(shrink)
    centre = rng.uniform(0, [width, height], (count, 2))
    side = np.exp(rng.uniform(np.log(16), np.log(512), (count, 2))) / shrink
    # A side of 2 px at least remains inside the image.
    centre = np.clip(centre, 1, [width - 1, height - 1])
    side = np.maximum(side, 2)
    boxes = np.concatenate([centre - side / 2, centre + side / 2], axis=1)
    return np.clip(boxes, 0, [width, height] * 2).astype(np.float32)


def distinct_scores(rng: np.random.Generator, count: int) -> np.ndarray:
    """Scores in 0..1 of which no two are equal: peers order equal ones each in its own way."""
    return ((rng.permutation(count) + 0.5) / count).astype(np.float32)


def make_anchors(shrink: int) -> list[np.ndarray]:
    """Anchors of the levels P2 to P6, [N_l, 4] float32 each."""
    height, width = image_size(shrink)
    levels = []
    for stride, size in ANCHOR_SIZES.items():
        rows, columns = -(-padded(height) // stride), -(-padded(width) // stride)
        ratios = np.array(ANCHOR_RATIOS)
        half_width, half_height = size / np.sqrt(ratios) / 2, size * np.sqrt(ratios) / 2
        cell = np.stack([-half_width, -half_height, half_width, half_height], axis=1)
        y, x = np.mgrid[:rows, :columns] * stride
        anchors = np.stack([x, y, x, y], axis=-1)[:, :, None] + cell
        levels.append(anchors.reshape(-1, 4).astype(np.float32))
    return levels


def iou_with(boxes: np.ndarray, box: np.ndarray) -> np.ndarray:
    """IoU of each box with one."""
    sides = np.minimum(boxes[:, 2:], box[2:]) - np.maximum(boxes[:, :2], box[:2])
    intersection = np.maximum(sides, 0).prod(axis=1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return intersection / (areas + (box[2:] - box[:2]).prod() - intersection)
