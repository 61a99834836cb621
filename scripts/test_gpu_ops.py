"""Each op on the device against the op it must equal: on a GPU the CPU's, on a CPU the twin."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow.python.framework import kernels

from mrcnn_tf import ops

HOSTILE = np.float32(
    [
        [np.nan, 0, 10, 10],
        [0, 0, np.inf, 10],
        [-np.inf, -np.inf, np.inf, np.inf],
        [30, 30, 10, 10],
        [10, 10, 10, 10],
        [-100, -100, -50, -50],
        [0, 0, 1e9, 1e9],
    ]
)
# What rounding in the last place does: of a feature, of a coordinate that picks between features.
TOLERANCES = {"float32": 2e-3, "float16": 2e-2, "bfloat16": 1e-1}


class Check(NamedTuple):
    """An op and how it is compared.

    Attributes:
        op: the registered name.
        dtype: of the features.
        run: `(random numbers of the case) -> tensors`.
        tolerance: largest difference of floats, in units of the largest value if that is above 1.
        share: least share of whole numbers that is equal in all cases together.
    """

    op: str
    dtype: str
    run: Callable[[np.random.Generator], list[tf.Tensor]]
    tolerance: float = 0.0
    share: float = 1.0


def compare_ops(device: str, cases: int, seed: int) -> Iterator[dict]:
    """Runs every check, and yields what came of it.

    Args:
        device: `/GPU:0` or `/CPU:0`.
        cases: random cases for each check.
        seed: of the cases; case i of a check is the same for all numbers of cases.

    Yields:
        A dict of `op`, `dtype`, `cases`, `compared` (False where there is no kernel for the
        device), `passed`, `largest_difference`, `equal_share` and `result`, a text.
    """
    ops.load(required=True)
    on_gpu = "GPU" in device
    for check in _checks():
        row = {"op": check.op, "dtype": check.dtype, "cases": cases, "compared": False}
        row |= {"passed": True, "largest_difference": 0.0, "equal_share": 1.0}
        if on_gpu and not _has_gpu_kernel(check.op):
            yield row | {"result": "not compared: there is no kernel for GPUs"}
            continue
        equal = total = 0
        failure = None
        for case in range(cases):
            with tf.device(device), ops.implementation("compiled"):
                subject = check.run(np.random.default_rng([seed, case]))
            if on_gpu and not all("GPU" in tensor.device for tensor in subject):
                failure = failure or f"case {case} did not run on the GPU"
            with tf.device("/CPU:0"), ops.implementation("compiled" if on_gpu else "plain"):
                reference = check.run(np.random.default_rng([seed, case]))
            for first, second in zip(subject, reference, strict=True):
                if first.dtype.is_floating:
                    difference = _difference(first, second)
                    row["largest_difference"] = max(row["largest_difference"], difference)
                    if not difference <= check.tolerance:
                        failure = failure or f"case {case}: difference {difference:.2g}"
                else:
                    equal += int(tf.math.count_nonzero(first == second))
                    total += int(tf.size(first))
        if total:
            row["equal_share"] = equal / total
            if row["equal_share"] < check.share:
                failure = failure or f"{equal} of {total} numbers are equal"
        row |= {"compared": True, "passed": failure is None}
        yield row | {"result": f"FAILED: {failure}" if failure else _describe(row, bool(total))}


def roi_align(dtype: str, with_gradient: bool):
    def run(rng: np.random.Generator) -> list[tf.Tensor]:
        batch, channels = int(rng.integers(1, 3)), int(rng.integers(1, 70))
        sampling_ratio, least_bins = int(rng.integers(0, 4)), 1
        side, levels = 8 * int(rng.integers(2, 8)), int(rng.integers(1, 4))
        if sampling_ratio == 0:
            # The twin is slow where a bin holds many cells.
            side, least_bins = 16, 4
        shapes = [(batch, side >> level, (side >> level) + 3, channels) for level in range(levels)]
        pyramid = [tf.cast(rng.standard_normal(shape, np.float32), dtype) for shape in shapes]
        boxes = _boxes(rng, batch, int(rng.integers(1, 60)), 4 * side)
        arguments = {
            "sampling_ratio": sampling_ratio,
            "aligned": bool(rng.integers(2)),
            "canonical_size": 60,
            "canonical_level": 3,
        }
        bins = tuple(rng.integers(least_bins, 8, 2).tolist())
        strides = [4 << level for level in range(levels)]
        with tf.GradientTape() as tape:
            tape.watch(pyramid)
            pooled = ops.roi_align(pyramid, boxes, bins, strides, **arguments)
        if not with_gradient:
            return [pooled]
        gradient = tf.cast(rng.standard_normal(pooled.shape, np.float32), dtype)
        # The twin reads no map at all where every box is empty.
        gradients = tape.gradient(
            pooled, pyramid, gradient, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        return [tf.convert_to_tensor(each) for each in gradients]

    return run


def nms(rng: np.random.Generator) -> list[tf.Tensor]:
    is_whole = bool(rng.integers(2))
    return list(
        ops.nms(
            *_scored_boxes(rng, int(rng.integers(1, 1500)), is_whole),
            iou_threshold=float(rng.uniform(0.2, 0.8)),
            score_threshold=float(rng.uniform(0, 0.3)),
            max_output=int(rng.integers(1, 400)),
        )
    )


def soft_nms(rng: np.random.Generator) -> list[tf.Tensor]:
    # Linear: the exponential of the Gaussian decay differs in the last place between processors.
    indices, _, count = ops.soft_nms(
        *_scored_boxes(rng, int(rng.integers(1, 300)), bool(rng.integers(2))),
        method="linear",
        iou_threshold=float(rng.uniform(0.2, 0.8)),
        score_threshold=float(rng.uniform(0.01, 0.3)),
        max_output=int(rng.integers(1, 100)),
    )
    return [indices, count]


def _scored_boxes(rng, count: int, is_whole: bool) -> list[tf.Tensor]:
    """Boxes, scores and classes; with `is_whole` ties, and several classes."""
    batch = int(rng.integers(1, 3))
    boxes = _boxes(rng, batch, count, 300, is_whole)
    # With several classes whole pixels, so that the twin's shift is exact.
    scores = rng.integers(1, 50, (batch, count)) / 50 if is_whole else rng.random((batch, count))
    scores[rng.random(scores.shape) < 0.02] = rng.choice([np.nan, np.inf, -np.inf])
    classes = rng.integers(0, 5 if is_whole else 1, (batch, count))
    return [boxes, tf.constant(scores, tf.float32), tf.constant(classes, tf.int32)]


def proposals(rng: np.random.Generator) -> list[tf.Tensor]:
    batch, levels = int(rng.integers(1, 3)), int(rng.integers(1, 4))
    logits, deltas, anchors = [], [], []
    for _ in range(levels):
        count = int(rng.integers(1, 1500))
        logits.append(tf.constant(rng.standard_normal((batch, count)), tf.float32))
        deltas.append(tf.constant(rng.normal(0, 0.3, (batch, count, 4)), tf.float32))
        anchors.append(_boxes(rng, 1, count, 300, is_hostile=False)[0])
    sizes = tf.constant(rng.integers(100, 300, (batch, 2)), tf.float32)
    pre, post = int(rng.integers(1, 800)), int(rng.integers(1, 400))
    boxes, _, count = ops.proposals(logits, deltas, anchors, sizes, pre, post, 0.7)
    # Rounded to 1/16 px: exp differs in the last place between processors.
    return [tf.cast(tf.round(16 * boxes), tf.int32), count]


def match_boxes(rng: np.random.Generator) -> list[tf.Tensor]:
    batch, count = int(rng.integers(1, 3)), int(rng.integers(0, 40))
    is_whole = bool(rng.integers(2))
    anchors = _boxes(rng, 1, int(rng.integers(1, 3000)), 300, is_whole)[0]
    boxes = _boxes(rng, batch, count, 300, is_whole)
    valid = tf.constant(rng.random((batch, count)) < 0.8)
    return [ops.match_boxes(anchors, boxes, valid, 0.7, 0.3, bool(rng.integers(2)))]


def paste_masks(rng: np.random.Generator) -> list[tf.Tensor]:
    count, side = int(rng.integers(1, 12)), int(rng.integers(1, 30))
    masks = tf.constant(rng.random((count, side, side)), tf.float32)
    height, width = int(rng.integers(1, 300)), int(rng.integers(1, 300))
    return [ops.paste_masks(masks, _boxes(rng, 1, count, 300)[0], height, width)]


def _checks() -> list[Check]:
    checks = []
    for dtype, tolerance in TOLERANCES.items():
        checks.append(Check("MrcnnRoiAlign", dtype, roi_align(dtype, False), tolerance))
        checks.append(Check("MrcnnRoiAlignGrad", dtype, roi_align(dtype, True), tolerance))
    # An IoU or a probability that lies on its threshold may fall either way by one rounding.
    checks.append(Check("MrcnnNms", "float32", nms, share=0.999))
    checks.append(Check("MrcnnNms", "float32", soft_nms, share=0.999))
    checks.append(Check("MrcnnProposals", "float32", proposals, share=0.99))
    checks.append(Check("MrcnnMatchBoxes", "float32", match_boxes, share=0.9999))
    checks.append(Check("MrcnnPasteMasks", "float32", paste_masks, share=0.9999))
    return checks


def _boxes(rng, batch, count, extent, is_whole=False, is_hostile=True) -> tf.Tensor:
    """Boxes of all sizes, [batch, count, 4], in most cases a few hostile ones among them."""
    corners = rng.uniform(-20, extent, (batch, count, 2, 2))
    if is_whole:
        corners = np.round(corners)
    boxes = np.concatenate([corners.min(axis=2), corners.max(axis=2)], axis=-1)
    if is_hostile and count > 0 and rng.random() < 0.7:
        rows = rng.integers(0, count, 3)
        # With a box of 1e9 px no shift between classes is exact, so whole pixels do without it.
        hostile = HOSTILE[:-1] if is_whole else HOSTILE
        boxes[:, rows] = hostile[rng.integers(0, len(hostile), 3)]
    return tf.constant(boxes, tf.float32)


def _has_gpu_kernel(op: str) -> bool:
    registered = kernels.get_registered_kernels_for_op(op).kernel
    return any(kernel.device_type == "GPU" for kernel in registered)


def _difference(first: tf.Tensor, second: tf.Tensor) -> float:
    first, second = (tf.cast(each, tf.float32).numpy() for each in (first, second))
    scale = max(1.0, float(np.abs(second).max(initial=0.0)))
    difference = float(np.abs(first - second).max(initial=0.0))
    return difference / scale if np.isfinite(difference) else float("inf")


def _describe(row: dict, is_whole: bool) -> str:
    if is_whole:
        return f"{row['cases']} cases, {100 * row['equal_share']:.3f} % equal"
    return f"{row['cases']} cases, difference <= {row['largest_difference']:.1e}"
