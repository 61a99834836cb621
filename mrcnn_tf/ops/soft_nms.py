"""Soft-NMS: boxes that overlap a better one lose score instead of being dropped."""

import tensorflow as tf

from mrcnn_tf.ops.implementation import compiled_ops
from mrcnn_tf.ops.nms import check_nms_options, nms_inputs, take_best, without_unusable
from mrcnn_tf.ops.shapes import dimensions

SOFT_NMS_METHODS = ("linear", "gaussian")


def soft_nms(
    boxes: tf.Tensor,  # [B, N, 4]
    scores: tf.Tensor,  # [B, N]
    classes: tf.Tensor,  # [B, N]
    method: str = "gaussian",
    sigma: float = 0.5,
    iou_threshold: float = 0.5,
    score_threshold: float = 0.001,
    max_output: int = 100,
    pre_nms_top_n: int = 0,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Keeps boxes by descending score, where each one kept lowers the scores of its neighbours.

    Again and again the box with the highest score is kept, of equal scores the one with the lower
    index, and the scores of all boxes of its class that are left are multiplied by a factor:

    - `"linear"`: 1 - IoU if the IoU is above `iou_threshold`, else 1;
    - `"gaussian"`: exp(-IoU^2 / sigma), whatever the IoU.

    A box whose score is not, or no longer, above `score_threshold` is never kept, nor is one whose
    score, coordinates or area are not finite. `tf.image.non_max_suppression_with_scores` divides
    by twice its sigma, and drops boxes above an IoU as well.

    The compiled and the plain version may round the exponential of `"gaussian"` differently in the
    last bit; of two boxes whose scores then differ by a rounding, either may come first.

    Args:
        boxes: `[B, N, 4]` as x1, y1, x2, y2 in pixels.
        scores: `[B, N]`.
        classes: `[B, N]` int32.
        method: `"linear"` or `"gaussian"`.
        sigma: of `"gaussian"`, above 0; the smaller, the stricter.
        iou_threshold: of `"linear"`, 0..1.
        score_threshold: at least 0, since a negative score would rise as it decays.
        max_output: number of results for each image.
        pre_nms_top_n: only the so many best boxes of an image take part; 0 means all.

    Returns:
        `indices` `[B, max_output]` int32 into N and the lowered `scores` `[B, max_output]`, both by
        descending score and padded with 0, and `count` `[B]` int32, the rows that are not padding.

    Raises:
        ValueError: another method; a threshold, a number or a shape is out of range.

    Source: Bodla et al., Soft-NMS (2017), section 3, class by class.

    Example:

    ```python
    import tensorflow as tf
    from mrcnn_tf.ops import soft_nms

    boxes = tf.constant([[[0.0, 0, 10, 10], [0.0, 0, 10, 8], [20.0, 20, 30, 30]]])
    scores = tf.constant([[0.9, 0.8, 0.7]])
    classes = tf.zeros([1, 3], tf.int32)
    soft_nms(boxes, scores, classes, method="linear", max_output=4)
    # indices [[0, 2, 1, 0]], scores [[0.9, 0.7, 0.16, 0]], count [3]: the IoU is 0.8
    ```
    """
    boxes, scores, classes = nms_inputs(boxes, scores, classes)
    check_nms_options(iou_threshold, max_output, pre_nms_top_n)
    if method not in SOFT_NMS_METHODS:
        raise ValueError(f"method must be one of {SOFT_NMS_METHODS}, got {method!r}")
    if not sigma > 0:
        raise ValueError(f"sigma must be above 0, got {sigma}")
    if not score_threshold >= 0:
        raise ValueError(
            "score_threshold must be at least 0, since a negative score would rise as it decays, "
            f"got {score_threshold}"
        )
    options = {
        "sigma": sigma,
        "iou_threshold": iou_threshold,
        "score_threshold": score_threshold,
        "max_output": max_output,
        "pre_nms_top_n": pre_nms_top_n,
    }
    ops = compiled_ops()
    if ops is None:
        return _plain(boxes, scores, classes, method, **options)
    indices, count, kept_scores = ops.mrcnn_nms(
        boxes=boxes, scores=scores, classes=classes, mode=method, **options
    )
    return indices, kept_scores, count


def _plain(
    boxes, scores, classes, method, sigma, iou_threshold, score_threshold, max_output, pre_nms_top_n
):
    """The twin: a loop that keeps one box of every image in each turn."""
    boxes, scores = without_unusable(boxes, scores)
    batch, rows = dimensions(scores)
    order = tf.zeros([batch, 1], tf.int32) + tf.range(rows)[None]  # [B, N]
    if pre_nms_top_n > 0:
        boxes, scores, classes, order = take_best(boxes, scores, classes, pre_nms_top_n)
    low = tf.minimum(boxes[..., :2], boxes[..., 2:])  # [B, N, 2]
    high = tf.maximum(boxes[..., :2], boxes[..., 2:])
    sides = high - low
    areas = sides[..., 0] * sides[..., 1]  # [B, N]
    gone = -float("inf")

    def still_kept(scores):
        return tf.where(scores > score_threshold, scores, gone)

    def has_candidates(turn, left, indices, kept_scores, count):
        return (turn < max_output) & tf.reduce_any(left > gone)

    def keep_one(turn, left, indices, kept_scores, count):
        best = tf.reduce_max(left, axis=1, keepdims=True)  # [B, 1]
        found = best > gone
        # The lowest index by hand: what argmax does with equal numbers is not specified.
        chosen = tf.where((left == best) & found, order, order.dtype.max)
        chosen = tf.reduce_min(chosen, axis=1, keepdims=True)
        is_chosen = order == chosen  # [B, N]

        def of_chosen(values):
            return tf.reduce_sum(tf.where(is_chosen, values, 0), axis=1, keepdims=True)

        shared = [
            tf.maximum(
                tf.minimum(high[..., axis], of_chosen(high[..., axis]))
                - tf.maximum(low[..., axis], of_chosen(low[..., axis])),
                0.0,
            )
            for axis in (0, 1)
        ]
        shared = shared[0] * shared[1]
        area = of_chosen(areas)
        both_have_area = (areas > 0) & (area > 0)
        iou = tf.where(both_have_area, shared / (areas + area - shared), 0.0)
        if method == "gaussian":
            factor = tf.exp(-(iou * iou) / sigma)
        else:
            factor = tf.where(iou > iou_threshold, 1.0 - iou, 1.0)
        factor = tf.where(classes == of_chosen(classes), factor, 1.0)
        left = tf.where(is_chosen | ~found, gone, still_kept(left * factor))
        is_row = found & (tf.range(max_output)[None] == turn)  # [B, max_output]
        return (
            turn + 1,
            left,
            tf.where(is_row, chosen, indices),
            tf.where(is_row, best, kept_scores),
            count + tf.cast(found[:, 0], tf.int32),
        )

    left = still_kept(scores)
    nothing = tf.zeros([batch, max_output], tf.int32)
    start = (0, left, nothing, tf.cast(nothing, tf.float32), nothing[:, 0])
    unknown = tf.TensorShape([left.shape[0], None])
    shapes = tf.nest.map_structure(lambda part: tf.convert_to_tensor(part).shape, start)
    _, _, indices, kept_scores, count = tf.while_loop(
        has_candidates, keep_one, start, shape_invariants=(shapes[0], unknown, *shapes[2:])
    )
    return indices, kept_scores, count
