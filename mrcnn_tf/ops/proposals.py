"""From RPN outputs to proposals: decoding, clipping and suppression in one op."""

from collections.abc import Sequence

import tensorflow as tf

from mrcnn_tf.boxes import clip_boxes, decode_boxes
from mrcnn_tf.ops.implementation import compiled_ops
from mrcnn_tf.ops.nms import nms
from mrcnn_tf.ops.shapes import check_rank, finite, gather_rows


def proposals(
    logits: Sequence[tf.Tensor],  # of [B, N_l]
    deltas: Sequence[tf.Tensor],  # of [B, N_l, 4]
    anchors: Sequence[tf.Tensor],  # of [N_l, 4]
    image_sizes: tf.Tensor,  # [B, 2]
    pre_nms_top_n: int,
    post_nms_top_n: int,
    nms_threshold: float,
    min_size: float = 1e-3,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Keeps the most likely boxes of each level, drops doubles, keeps the most likely of all.

    Of each level the `pre_nms_top_n` anchors with the highest logits take part. Their boxes are
    decoded and clipped to the image; one with a side below `min_size` is dropped, and so is one
    that overlaps a more likely box of its level by an IoU above `nms_threshold`. Equal logits go
    by level, then by anchor. A box whose logit or coordinates are not finite is never kept. No
    gradient flows through it.

    Args:
        logits: `[B, N_l]` for each level.
        deltas: `[B, N_l, 4]`, see `mrcnn_tf.boxes.decode_boxes`.
        anchors: `[N_l, 4]` as x1, y1, x2, y2 in pixels.
        image_sizes: `[B, 2]`, height and width in pixels.
        pre_nms_top_n: boxes of each level that take part.
        post_nms_top_n: boxes of each image that are kept.
        nms_threshold: 0..1.
        min_size: smallest side of a box in pixels.

    Returns:
        `boxes` `[B, post_nms_top_n, 4]` in pixels inside the image, `logits` `[B, post_nms_top_n]`
        by descending logit, and `count` `[B]` int32; rows past the count are zero boxes with a
        logit of minus infinity.

    Raises:
        ValueError: an argument is out of range or does not fit the others.

    Source: Lin et al., Feature Pyramid Networks (2017), section 4.1; torchvision's
    `RegionProposalNetwork.filter_proposals`.

    Example:

    ```python
    import tensorflow as tf
    from mrcnn_tf.ops import proposals

    anchors = tf.constant([[0.0, 0, 10, 10], [0.0, 0, 10, 9], [20.0, 20, 40, 40]])
    logits, deltas = tf.constant([[2.0, 1.0, 0.5]]), tf.zeros([1, 3, 4])
    boxes, kept, count = proposals(
        [logits], [deltas], [anchors], tf.constant([[30.0, 30.0]]), 1000, 4, 0.7
    )  # two boxes, the second one clipped to 20, 20, 30, 30
    ```
    """
    logits = [tf.stop_gradient(tf.cast(level, tf.float32)) for level in logits]
    deltas = [tf.stop_gradient(tf.cast(level, tf.float32)) for level in deltas]
    anchors = [tf.stop_gradient(tf.cast(level, tf.float32)) for level in anchors]
    image_sizes = tf.cast(image_sizes, tf.float32)
    if not logits or not len(logits) == len(deltas) == len(anchors):
        raise ValueError(
            "proposals needs logits, deltas and anchors for each level, got "
            f"{len(logits)}, {len(deltas)} and {len(anchors)}"
        )
    for i, level in enumerate(zip(logits, deltas, anchors, strict=True)):
        check_rank(f"logits[{i}]", level[0], 2)
        check_rank(f"deltas[{i}]", level[1], 3, last=4)
        check_rank(f"anchors[{i}]", level[2], 2, last=4)
    check_rank("image_sizes", image_sizes, 2, last=2)
    if pre_nms_top_n < 1 or post_nms_top_n < 1:
        raise ValueError(
            "pre_nms_top_n and post_nms_top_n must be positive, got "
            f"{pre_nms_top_n} and {post_nms_top_n}"
        )
    if not 0 <= nms_threshold <= 1:
        raise ValueError(f"nms_threshold must be in 0..1, got {nms_threshold}")
    options = {
        "pre_nms_top_n": pre_nms_top_n,
        "post_nms_top_n": post_nms_top_n,
        "nms_threshold": nms_threshold,
        "min_size": min_size,
    }
    ops = compiled_ops()
    if ops is None:
        return _plain(logits, deltas, anchors, image_sizes, **options)
    return tuple(
        ops.mrcnn_proposals(
            logits=logits, deltas=deltas, anchors=anchors, image_sizes=image_sizes, **options
        )
    )


def _plain(
    logits, deltas, anchors, image_sizes, pre_nms_top_n, post_nms_top_n, nms_threshold, min_size
):
    """The twin, step by step."""
    boxes, scores, levels = [], [], []
    lowest = tf.float32.min
    for level, (level_logits, level_deltas, level_anchors) in enumerate(
        zip(logits, deltas, anchors, strict=True)
    ):
        usable = tf.where(finite(level_logits), level_logits, lowest)
        level_scores, indices = tf.math.top_k(
            usable, k=tf.minimum(pre_nms_top_n, tf.shape(usable)[1])
        )
        chosen = gather_rows(level_deltas, indices)
        boxes.append(decode_boxes(chosen, tf.gather(level_anchors, indices)))
        scores.append(level_scores)
        levels.append(tf.zeros_like(indices) + level)
    boxes = tf.concat(boxes, axis=1)
    is_box = tf.reduce_all(finite(boxes), axis=-1)
    boxes = clip_boxes(tf.where(is_box[..., None], boxes, 0.0), image_sizes)
    sides = boxes[..., 2:] - boxes[..., :2]
    is_box &= tf.reduce_all(sides >= min_size, axis=-1)
    scores = tf.where(is_box, tf.concat(scores, axis=1), lowest)
    # A row that is never selected stands behind, so that no anchors at all are no special case.
    boxes = tf.pad(boxes, [[0, 0], [0, 1], [0, 0]])
    scores = tf.pad(scores, [[0, 0], [0, 1]], constant_values=lowest)
    levels = tf.pad(tf.concat(levels, axis=1), [[0, 0], [0, 1]])
    indices, count = nms(boxes, scores, levels, nms_threshold, lowest, post_nms_top_n)
    is_kept = tf.range(post_nms_top_n)[None] < count[:, None]
    boxes = tf.where(is_kept[..., None], gather_rows(boxes, indices), 0.0)
    scores = tf.where(is_kept, gather_rows(scores, indices), -float("inf"))
    return boxes, scores, count
