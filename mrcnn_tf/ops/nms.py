"""Non-maximum suppression: class by class, batched, with a fixed number of results."""

import tensorflow as tf

from mrcnn_tf.ops.implementation import compiled_ops
from mrcnn_tf.ops.shapes import check_rank, dimensions, finite, gather_rows


def nms(
    boxes: tf.Tensor,  # [B, N, 4]
    scores: tf.Tensor,  # [B, N]
    classes: tf.Tensor,  # [B, N]
    iou_threshold: float,
    score_threshold: float,
    max_output: int,
    pre_nms_top_n: int = 0,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Keeps the best box of every group of boxes that overlap and share a class.

    Boxes are visited by descending score, of equal scores the one with the lower index first. A
    box is kept if its score is above `score_threshold` and no kept box of its class overlaps it by
    an IoU above `iou_threshold`. A box whose score, coordinates or area are not finite is never
    kept, so a score of minus infinity marks padding.

    The plain version moves the classes apart before it suppresses. That is exact where all classes
    of an image are equal; otherwise coordinates lose a few bits, so that a pair whose IoU lies
    within about 1e-4 of the threshold may be judged the other way.

    Args:
        boxes: `[B, N, 4]` as x1, y1, x2, y2 in pixels.
        scores: `[B, N]`.
        classes: `[B, N]` int32. Pass pyramid levels to keep levels from suppressing each other.
        iou_threshold: 0..1.
        score_threshold: minus infinity to keep boxes of any score.
        max_output: number of results for each image.
        pre_nms_top_n: only the so many best boxes of an image take part; 0 means all.

    Returns:
        `indices` `[B, max_output]` int32 into N by descending score, padded with 0, and `count`
        `[B]` int32, the number of indices that are not padding.

    Raises:
        ValueError: a threshold, a number or a shape is out of range.

    Source: torchvision's `batched_nms`, with a fixed number of results.

    Example:

    ```python
    import tensorflow as tf
    from mrcnn_tf.ops import nms

    boxes = tf.constant([[[0.0, 0, 10, 10], [0.0, 0, 10, 9], [20.0, 20, 30, 30]]])
    scores = tf.constant([[0.9, 0.8, 0.7]])
    classes = tf.zeros([1, 3], tf.int32)
    nms(boxes, scores, classes, 0.5, 0.05, max_output=4)  # indices [[0, 2, 0, 0]], count [2]
    ```
    """
    boxes, scores, classes = nms_inputs(boxes, scores, classes)
    check_nms_options(iou_threshold, max_output, pre_nms_top_n)
    ops = compiled_ops()
    if ops is None:
        return _plain(
            boxes, scores, classes, iou_threshold, score_threshold, max_output, pre_nms_top_n
        )
    indices, count, _ = ops.mrcnn_nms(
        boxes=boxes,
        scores=scores,
        classes=classes,
        iou_threshold=iou_threshold,
        score_threshold=score_threshold,
        max_output=max_output,
        pre_nms_top_n=pre_nms_top_n,
    )
    return indices, count


def nms_inputs(boxes, scores, classes):
    """The inputs of any suppression: cast, without gradients, their ranks checked."""
    boxes = tf.stop_gradient(tf.cast(boxes, tf.float32))
    scores = tf.stop_gradient(tf.cast(scores, tf.float32))
    classes = tf.cast(classes, tf.int32)
    check_rank("boxes", boxes, 3, last=4)
    check_rank("scores", scores, 2)
    check_rank("classes", classes, 2)
    return boxes, scores, classes


def check_nms_options(iou_threshold: float, max_output: int, pre_nms_top_n: int) -> None:
    """Raises a ValueError that names the option of a suppression that is out of range."""
    if not 0 <= iou_threshold <= 1:
        raise ValueError(f"iou_threshold must be in 0..1, got {iou_threshold}")
    if max_output < 1:
        raise ValueError(f"max_output must be positive, got {max_output}")
    if pre_nms_top_n < 0:
        raise ValueError(f"pre_nms_top_n must be 0, for all boxes, or more, got {pre_nms_top_n}")


def without_unusable(boxes, scores):
    """Boxes and scores where what is never kept is a box of zeros with score minus infinity."""
    # An area is finite only if all coordinates are, and one that overflows has no IoU.
    sides = boxes[..., 2:] - boxes[..., :2]
    usable = finite(sides[..., 0] * sides[..., 1]) & finite(scores)
    return tf.where(usable[..., None], boxes, 0.0), tf.where(usable, scores, -float("inf"))


def take_best(boxes, scores, classes, wanted: int):
    """The `wanted` best boxes of each image, or all if there are fewer, and which they were."""
    scores, order = tf.math.top_k(scores, k=tf.minimum(wanted, tf.shape(scores)[1]))
    boxes = gather_rows(boxes, order)
    return boxes, scores, gather_rows(classes, order), order


def _plain(boxes, scores, classes, iou_threshold, score_threshold, max_output, pre_nms_top_n):
    """The twin: NonMaxSuppressionV4, the one that every export target runs correctly."""
    boxes, scores = without_unusable(boxes, scores)
    if pre_nms_top_n == 0:
        return _suppress(boxes, scores, classes, iou_threshold, score_threshold, max_output)
    boxes, scores, classes, order = take_best(boxes, scores, classes, pre_nms_top_n)
    places, count = _suppress(boxes, scores, classes, iou_threshold, score_threshold, max_output)
    # A place that is never looked up stands behind, so that no boxes at all are no special case.
    indices = gather_rows(tf.pad(order, [[0, 0], [0, 1]]), places)
    return tf.where(tf.range(max_output)[None] < count[:, None], indices, 0), count


def _suppress(boxes, scores, classes, iou_threshold, score_threshold, max_output):
    """NonMaxSuppressionV4 on every image, with the classes moved apart."""
    candidates = finite(scores) & (scores > score_threshold)
    boxes += _class_offsets(boxes, classes, candidates)

    def one_image(inputs):
        selected, count = tf.raw_ops.NonMaxSuppressionV4(
            boxes=inputs[0],
            scores=inputs[1],
            max_output_size=max_output,
            iou_threshold=iou_threshold,
            score_threshold=score_threshold,
            pad_to_max_output_size=True,
        )
        return tf.reshape(selected, [max_output]), tf.reshape(count, [])

    batch = dimensions(boxes)[0]
    if not isinstance(batch, int):
        signature = (tf.TensorSpec([max_output], tf.int32), tf.TensorSpec([], tf.int32))
        return tf.map_fn(one_image, (boxes, scores), fn_output_signature=signature)
    if batch == 0:
        return tf.zeros([0, max_output], tf.int32), tf.zeros([0], tf.int32)
    results = [one_image((boxes[i], scores[i])) for i in range(batch)]
    return tf.stack([selected for selected, _ in results]), tf.stack([n for _, n in results])


def _class_offsets(boxes, classes, candidates):
    """Offsets [B, N, 4] that lay the classes of an image out on a square grid of tiles.

    A grid, because along a line 80 classes of 1333 px would reach 106640, where neighbouring
    float32 numbers are 1/128 px apart; on a 9 x 9 grid it is 1/1024 px. The lowest class present
    lies at the origin, so that the boxes of a single class do not move at all.
    """
    none = classes.dtype.max
    lowest = tf.reduce_min(tf.where(candidates, classes, none), axis=1, keepdims=True)
    tile = tf.where(candidates, classes - lowest, 0)  # [B, N]
    num_tiles = tf.cast(tf.reduce_max(tile, axis=1, keepdims=True), tf.float32) + 1.0
    tiles_per_row = tf.cast(tf.math.ceil(tf.sqrt(tf.maximum(num_tiles, 1.0))), tf.int32)

    candidate_boxes = tf.where(candidates[..., None], boxes, 0.0)
    left = tf.reduce_min(candidate_boxes, axis=[1, 2], keepdims=True)
    right = tf.reduce_max(candidate_boxes, axis=[1, 2], keepdims=True)
    side = tf.math.ceil(right - left) + 1.0  # [B, 1, 1]
    x, y = tile % tiles_per_row, tile // tiles_per_row
    return side * tf.cast(tf.stack([x, y, x, y], axis=-1), tf.float32)
