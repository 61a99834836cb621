"""The units of a keypoint head: which of them pass their ReLU, here and in torchvision's float64.

The gradient of a network with ReLUs jumps where a unit goes through 0, and a keypoint head learns
from few cells of its heatmaps: a handful of units that rounding has put on the other side are 1e-3
of a gradient. So gradients are compared with the same units passing, and the units by themselves.
"""

import contextlib
from collections.abc import Iterator

import numpy as np
import tensorflow as tf
from test_peers_worker import Arrays

# A unit of the keypoint head whose value is as good as 0 passes its ReLU on one side and not on the
# other: no farther from 0 than this part of the largest value of its layer, and so many of all.
UNIT_TOLERANCE, UNITS_APART = 1e-5, 1e-5


@contextlib.contextmanager
def recorded_units(model) -> Iterator[list[tf.Tensor]]:
    """A list that gets what each ReLU of the keypoint head passes on, `[B * P, h, w, C]`.

    It stays empty if there is no such head.
    """
    convs, units = model.keypoint_head.convs if model.keypoints else [], []

    def relu(features):
        units.append(tf.nn.relu(features))
        return units[-1]

    usual = [conv.activation for conv in convs]
    for conv in convs:
        conv.activation = relu
    yield units
    for conv, activation in zip(convs, usual, strict=True):
        conv.activation = activation


def pack_units(units: list[tf.Tensor], is_positive: np.ndarray) -> Arrays:
    """On which side of 0 each unit is, of the positive RoIs `[B, S]` as torchvision orders them."""
    packed = {}
    for k, features in enumerate(units):
        rows = is_positive[:, : features.shape[0] // len(is_positive)].reshape(-1)
        is_passed = np.moveaxis(features.numpy()[rows] > 0, -1, 1)
        packed[f"units.{k}"] = np.packbits(is_passed)
    return packed


def compare_units(units: np.ndarray, other_side: np.ndarray, farthest: np.ndarray) -> dict:
    """The units of the keypoint head on the other side of 0 in float64; a number of each ReLU."""
    apart, total, worst = int(other_side.sum()), int(units.sum()), float(farthest.max())
    text = f"{total - apart} of {total} pass or not as in float64"
    if apart:
        text += f", the others are within {worst:.1e} of 0, parts of the largest value"
    passed = apart <= UNITS_APART * total and worst <= UNIT_TOLERANCE and total > 0
    row = {"what": "units of the joints", "result": text, "passed": passed}
    return row | {"other_side": other_side.tolist(), "farthest": farthest.tolist()}
