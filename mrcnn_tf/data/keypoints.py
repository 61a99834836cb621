"""Joints of COCO annotations: reading, moving, mirroring."""

from __future__ import annotations

import math

import numpy as np

SIDES = (("left", "right"), ("Left", "Right"))


def read_keypoints(annotation: dict, count: int) -> np.ndarray:
    """The joints of an annotation, float32 [count, 3]: x, y in pixels and visibility.

    COCO states the pixel that a joint is in, counted from 0; its centre is half a pixel further in
    continuous coordinates. Detectron2 adds that half as well, torchvision's reference does not.

    Args:
        annotation: a COCO dict; without `keypoints`, no joint is annotated.
        count: joints of the data set.

    Returns:
        Visibility is COCO's: 2 visible, 1 hidden, 0 not annotated, and then x and y are 0.

    Raises:
        ValueError: `keypoints` is not a list of 3 numbers a joint.
    """
    values = annotation.get("keypoints")
    if not values:
        return np.zeros([count, 3], np.float32)
    numbers = isinstance(values, list) and all(
        isinstance(value, int | float) and math.isfinite(value) for value in values
    )
    if not numbers or len(values) != 3 * count:
        raise ValueError(f"`keypoints` must be {count} times three finite numbers (x, y, v)")
    keypoints = np.array(values, np.float32).reshape(count, 3)
    keypoints[:, :2] += 0.5
    return only_annotated(keypoints, keypoints[:, 2] > 0)


def only_annotated(keypoints: np.ndarray, is_annotated: np.ndarray) -> np.ndarray:
    """Joints [..., 3] with zeros where they are not annotated."""
    return np.where(is_annotated[..., None], keypoints, np.float32(0))


def mirrored_order(names: list[str]) -> np.ndarray:
    """Which joint each one is in a mirror, int [K]: those named "left" and "right" change places.

    Example:

    >>> mirrored_order(["nose", "left_eye", "right_eye"])
    array([0, 2, 1])
    """
    order = np.arange(len(names))
    for index, name in enumerate(names):
        for left, right in SIDES:
            partner = name.replace(left, right)
            if left in name and partner in names:
                order[index], order[names.index(partner)] = names.index(partner), index
    return order
