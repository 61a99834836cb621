"""How far an exported model's detections are from the model's own."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from mrcnn_tf.boxes.overlap import pairwise_iou
from mrcnn_tf.export.canvas import detections
from mrcnn_tf.export.labels import model_labels
from mrcnn_tf.export.portable import portable_function
from mrcnn_tf.export.runtimes.runtime import Runtime
from mrcnn_tf.ops import paste_masks

# Boxes of one class that overlap by this much are taken for the same object.
_SAME_OBJECT = 0.5


@dataclass(frozen=True)
class Tolerances:
    """How far two runtimes may be apart that compute the same in float32.

    Attributes:
        boxes: pixels, of any side.
        scores: of detections.
        mask_iou: lowest IoU of two masks, in pixels of the image.
        joints: pixels, of x and of y.
        ap: of each average precision, 0..1.
    """

    boxes: float = 0.05
    scores: float = 1e-4
    mask_iou: float = 0.995
    joints: float = 0.05
    ap: float = 1e-3


def check_same_model(model: keras.Model, runtime: Runtime, name: str) -> None:
    """Refuse an export that is not of this model.

    Raises:
        ValueError: classes or joints differ.
    """
    own = json.loads(json.dumps(model_labels(model)))
    for key in sorted(own.keys() | runtime.labels.keys()):
        if own.get(key) != runtime.labels.get(key):
            raise ValueError(
                f"{name} is not an export of this model: its {key} is "
                f"{_short(runtime.labels.get(key))}, that of the model {_short(own.get(key))}."
            )


def reference(model: keras.Model, size: tuple[int, int]) -> Callable:
    """The Keras model as a runtime is called, on a canvas of this size, in TensorFlow."""
    function = portable_function(model, size)

    def run(images: np.ndarray, image_sizes: np.ndarray) -> dict[str, np.ndarray]:
        outputs = function(images=tf.constant(images), image_sizes=tf.constant(image_sizes))
        return {name: value.numpy() for name, value in outputs.items()}

    return run


def compare(
    expected: dict[str, np.ndarray],
    found: dict[str, np.ndarray],
    size: tuple[int, int],
    whole_pixels: bool = False,
) -> dict:
    """How far the detections of one image are apart.

    Objects are matched within their class, those that overlap most first. Masks are compared where
    they are pasted, at a probability of one half.

    Args:
        expected: what the portable function gives for one image.
        found: likewise.
        size: height and width of the image in pixels.
        whole_pixels: see `paste_masks`.

    Returns:
        dict of `expected`, `found` and `matched`, numbers of detections, and of the matched ones
        `boxes_px`, `scores` and `joints_px`, largest differences, and `mask_iou`, the smallest. A
        model without masks or joints has None there.
    """
    expected, found = detections(expected), detections(found)
    pairs = match(expected, found)
    first, second = (
        {name: values[rows] for name, values in side.items()}
        for side, rows in ((expected, pairs[:, 0]), (found, pairs[:, 1]))
    )
    row = {
        "expected": len(expected["scores"]),
        "found": len(found["scores"]),
        "matched": len(pairs),
        "boxes_px": _largest(first["boxes"] - second["boxes"]),
        "scores": _largest(first["scores"] - second["scores"]),
        "mask_iou": None,
        "joints_px": None,
    }
    if "masks" in expected:
        pasted = [
            paste_masks(side["masks"], side["boxes"], *size, whole_pixels=whole_pixels).numpy()
            for side in (first, second)
        ]
        both = np.sum(pasted[0] & pasted[1], axis=(1, 2))
        either = np.sum(pasted[0] | pasted[1], axis=(1, 2))
        row["mask_iou"] = float(
            np.min(np.where(either > 0, both / np.maximum(either, 1), 1), initial=1.0)
        )
    if "keypoints" in expected:
        row["joints_px"] = _largest(first["keypoints"][..., :2] - second["keypoints"][..., :2])
    return row


def match(expected: dict[str, np.ndarray], found: dict[str, np.ndarray]) -> np.ndarray:
    """Pairs `[M, 2]` of rows of the same object: of the same class, those that overlap most first.

    Of equal overlap the lower row comes first, so that doubles keep their order.
    """
    overlaps = np.array(pairwise_iou(expected["boxes"], found["boxes"]))
    overlaps[expected["classes"][:, None] != found["classes"][None]] = 0.0
    pairs = []
    while overlaps.size and overlaps.max() >= _SAME_OBJECT:
        pair = np.unravel_index(np.argmax(overlaps), overlaps.shape)
        pairs.append(pair)
        overlaps[pair[0], :] = overlaps[:, pair[1]] = 0.0
    return np.array(sorted(pairs), np.int64).reshape(-1, 2)


def summarize(rows: list[dict], milliseconds: list[float]) -> dict:
    """The figures of all images: sums of numbers, the worst differences, the median time."""
    found = {"images": len(rows)}
    found |= {name: sum(row[name] for row in rows) for name in ("expected", "found", "matched")}
    for name, worst in (("boxes_px", max), ("scores", max), ("mask_iou", min), ("joints_px", max)):
        values = [row[name] for row in rows if row[name] is not None]
        found[name] = worst(values) if values else None
    # The first call of many a runtime prepares itself.
    found["ms"] = statistics.median(milliseconds[1:] or milliseconds)
    found["images_of_other_number"] = sum(
        not row["expected"] == row["found"] == row["matched"] for row in rows
    )
    return found


def faults(figures: dict, tolerances: Tolerances) -> list[str]:
    """What is beyond the tolerances, in words; nothing if all is well."""
    found = []
    if figures["images_of_other_number"]:
        found.append(f"other detections in {figures['images_of_other_number']} images")
    for name, limit, words in (
        ("boxes_px", tolerances.boxes, "boxes {:.3g} px > {:g}"),
        ("scores", tolerances.scores, "scores {:.2g} > {:g}"),
        ("joints_px", tolerances.joints, "joints {:.3g} px > {:g}"),
    ):
        if figures[name] is not None and not figures[name] <= limit:
            found.append(words.format(figures[name], limit))
    if figures["mask_iou"] is not None and not figures["mask_iou"] >= tolerances.mask_iou:
        found.append(f"mask IoU {figures['mask_iou']:.4f} < {tolerances.mask_iou:g}")
    for name, value in figures.get("ap", {}).items():
        off = abs(value - figures["model_ap"][name])
        if not off <= tolerances.ap:
            found.append(f"{name.replace('_', ' ')} off by {off:.4f} > {tolerances.ap:g}")
    return found


def _largest(differences: np.ndarray) -> float:
    return float(np.max(np.abs(differences), initial=0.0))


def _short(value) -> str:
    text = "missing" if value is None else str(value)
    return text if len(text) <= 80 else text[:77] + "..."
