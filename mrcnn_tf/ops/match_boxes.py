"""Matching of anchors or proposals to ground-truth boxes by IoU."""

import tensorflow as tf

from mrcnn_tf.boxes import pairwise_iou
from mrcnn_tf.ops.implementation import compiled_ops
from mrcnn_tf.ops.shapes import check_rank, finite

BACKGROUND = -1
IGNORE = -2


def match_boxes(
    anchors: tf.Tensor,  # [A, 4] or [B, A, 4]
    boxes: tf.Tensor,  # [B, M, 4]
    valid: tf.Tensor,  # [B, M]
    high_threshold: float,
    low_threshold: float,
    allow_low_quality: bool,
) -> tf.Tensor:
    """Gives each anchor the ground-truth box that it overlaps most, or none.

    An anchor whose best IoU is at least `high_threshold` gets that box, below `low_threshold` it
    is background, in between it is ignored. With `allow_low_quality` every box also keeps the
    anchors that overlap it most, ties included, whatever their IoU; as in torchvision such an
    anchor gets *its own* best box back, which may be another one. A box that overlaps no anchor at
    all promotes none. Of equally good boxes the first is taken.

    The compiled version holds no IoU matrix: 268569 anchors and 100 boxes would take 107 MB.

    Args:
        anchors: `[A, 4]` shared by all images, or `[B, A, 4]`, as x1, y1, x2, y2 in pixels. One
            with a coordinate that is not finite is background.
        boxes: `[B, M, 4]` in pixels.
        valid: `[B, M]` bool, False for padding, crowds and whatever else nothing may match. A box
            with a coordinate that is not finite is not valid.
        high_threshold: IoU from which an anchor is foreground.
        low_threshold: IoU below which an anchor is background; at most `high_threshold`.
        allow_low_quality: see above. True for anchors, False for proposals.

    Returns:
        `[B, A]` int32: the index of a box, -1 for background or -2 for anchors to ignore.

    Raises:
        ValueError: a threshold or a shape does not fit.

    Source: torchvision's `Matcher`.

    Example:

    ```python
    import tensorflow as tf
    from mrcnn_tf.ops import match_boxes

    anchors = tf.constant([[0.0, 0, 10, 10], [0.0, 0, 10, 20], [50.0, 50, 60, 60]])
    boxes = tf.constant([[[0.0, 0, 10, 10]]])
    valid = tf.constant([[True]])
    match_boxes(anchors, boxes, valid, 0.7, 0.3, allow_low_quality=True)  # [[0, -2, -1]]
    ```
    """
    anchors = tf.stop_gradient(tf.cast(anchors, tf.float32))
    boxes = tf.stop_gradient(tf.cast(boxes, tf.float32))
    valid = tf.cast(valid, tf.bool)
    check_rank("anchors", anchors, 2, 3, last=4)
    check_rank("boxes", boxes, 3, last=4)
    check_rank("valid", valid, 2)
    if not low_threshold <= high_threshold:
        raise ValueError(
            f"low_threshold must not be above high_threshold, got {low_threshold} and "
            f"{high_threshold}"
        )
    ops = compiled_ops()
    if ops is None:
        return _plain(anchors, boxes, valid, high_threshold, low_threshold, allow_low_quality)
    return ops.mrcnn_match_boxes(
        anchors=anchors,
        boxes=boxes,
        valid=valid,
        high_threshold=high_threshold,
        low_threshold=low_threshold,
        allow_low_quality=allow_low_quality,
    )


def _plain(anchors, boxes, valid, high_threshold, low_threshold, allow_low_quality):
    """The twin, by the whole IoU matrix."""
    valid &= tf.reduce_all(finite(boxes), axis=-1)
    boxes = tf.where(valid[..., None], boxes, 0.0)
    anchors = tf.where(tf.reduce_all(finite(anchors), axis=-1, keepdims=True), anchors, 0.0)
    if anchors.shape.rank == 2:
        anchors = anchors[None] + tf.zeros([tf.shape(boxes)[0], 1, 1])
    # A row that is never best stands in front, so that no box at all is no special case.
    iou = tf.pad(pairwise_iou(boxes, anchors), [[0, 0], [1, 0], [0, 0]])  # [B, 1 + M, A]
    valid = tf.pad(valid, [[0, 0], [1, 0]])[..., None]
    iou = tf.where(iou >= 0.0, iou, 0.0)
    iou = tf.where(valid, iou, -1.0)

    best = tf.reduce_max(iou, axis=1)  # [B, A]
    nearest = tf.argmax(iou, axis=1, output_type=tf.int32) - 1
    matches = tf.where(best < high_threshold, IGNORE, nearest)
    matches = tf.where((best < low_threshold) | (nearest < 0), BACKGROUND, matches)
    if allow_low_quality:
        best_of_box = tf.reduce_max(tf.pad(iou, [[0, 0], [0, 0], [1, 0]]), axis=2, keepdims=True)
        kept = tf.reduce_any((iou == best_of_box) & (best_of_box > 0.0), axis=1)
        matches = tf.where(kept, nearest, matches)
    return matches
