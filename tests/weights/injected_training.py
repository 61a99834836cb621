"""A peer's training step in this package's terms: its targets, and the samples it has chosen."""

import numpy as np
import tensorflow as tf

from mrcnn_tf.data.instance_masks import pack_crops
from mrcnn_tf.losses import Samples

Arrays = dict[str, np.ndarray]

# Our name of a loss: torchvision's.
LOSSES = {
    "rpn_objectness_loss": "loss_objectness",
    "rpn_box_loss": "loss_rpn_box_reg",
    "class_loss": "loss_classifier",
    "box_loss": "loss_box_reg",
    "mask_loss": "loss_mask",
    "keypoint_loss": "loss_keypoint",
}


def training_targets(objects: list[Arrays]) -> dict[str, tf.Tensor]:
    """The `y` of `compute_losses` for a batch.

    Args:
        objects: of every image `boxes [N, 4]` and `labels [N]` (torchvision's, from 1 on), and if
            there are any, `masks`, bool `[N, H, W]`, and `keypoints [N, K, 3]`.
    """
    most = max(len(each["labels"]) for each in objects)
    packed = [_crops(each) for each in objects]
    longest = max(len(masks) for masks, _, _ in packed)
    rows = []
    for index, (each, (masks, shapes, regions)) in enumerate(zip(objects, packed, strict=True)):
        missing = most - len(each["labels"])
        row = {
            "boxes": _pad(each["boxes"].astype(np.float32), missing),
            "classes": _pad(each["labels"].astype(np.int32) - 1, missing, -1),
            "is_crowd": np.zeros(most, bool),
            "image_id": np.int64(index),
            "masks": _pad(masks, longest - len(masks)),
            "mask_shapes": _pad(shapes, missing),
            "mask_boxes": _pad(regions, missing),
        }
        if "keypoints" in each:
            row["keypoints"] = _pad(each["keypoints"].astype(np.float32), missing)
        rows.append(row)
    return {name: tf.constant(np.stack([row[name] for row in rows])) for name in rows[0]}


def injected_samples(found: Arrays, prefix: str = "") -> dict:
    """The `samples` of `compute_losses` out of what `TrainingRecorder.samples` has written down.

    Args:
        found: the arrays.
        prefix: of their names.
    """
    batch = range(sum(name.startswith(f"{prefix}proposals.") for name in found))
    boxes = [found[f"{prefix}proposals.{i}"] for i in batch]
    most = max(len(each) for each in boxes)
    chosen = {}
    for name in ("anchors", "rois"):
        rows = [
            [found[f"{prefix}{name}.{kind}.{i}"] for kind in ("positive", "negative")]
            for i in batch
        ]
        if name == "rois":
            # The objects stand behind the proposals, which are padded here.
            rows = [
                [np.where(each < len(boxes[i]), each, each - len(boxes[i]) + most) for each in pair]
                for i, pair in enumerate(rows)
            ]
        chosen[name] = _samples(rows)
    padded = np.stack([_pad(each, most - len(each)) for each in boxes])
    return {"proposals": tf.constant(padded), **chosen}


def _samples(rows: list[list[np.ndarray]]) -> Samples:
    most = max(len(positive) + len(negative) for positive, negative in rows)
    parts = []
    for positive, negative in rows:
        indices = np.concatenate([positive, negative]).astype(np.int32)
        slots = np.arange(most)
        parts.append(
            (_pad(indices, most - len(indices)), slots < len(positive), slots < len(indices))
        )
    return Samples(*(tf.constant(np.stack(each)) for each in zip(*parts, strict=True)))


def _crops(objects: Arrays):
    """The masks cut out around their pixels, as the data pipeline stores them."""
    crops, regions = [], []
    for mask in objects.get("masks", np.zeros([len(objects["labels"]), 0, 0], bool)):
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if not rows.size:
            crops.append(None)
            regions.append((0, 0, 0, 0))
            continue
        top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
        crops.append(mask[top:bottom, left:right].astype(bool))
        regions.append((left, top, right, bottom))
    packed, shapes = pack_crops(crops)
    return packed, shapes, np.array(regions, np.float32).reshape(-1, 4)


def _pad(rows: np.ndarray, missing: int, value=0) -> np.ndarray:
    widths = [(0, missing)] + [(0, 0)] * (rows.ndim - 1)
    return np.pad(rows, widths, constant_values=value)
