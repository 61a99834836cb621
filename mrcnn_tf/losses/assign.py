"""Which object, if any, an anchor or a proposal should learn."""

import tensorflow as tf

from mrcnn_tf.boxes import box_areas, pairwise_coverage
from mrcnn_tf.losses.sampling import IGNORED, NEGATIVE, POSITIVE
from mrcnn_tf.ops import match_boxes

# Detectron's TRAIN.CROWD_FILTER_THRESH: a candidate that a crowd region covers to this part is
# neither an object nor background.
CROWD_COVERAGE = 0.7


def learnable(targets: dict[str, tf.Tensor]) -> tf.Tensor:
    """`[B, M]` bool: objects to learn from: not padding, not a crowd, and with an area."""
    is_object = (targets["classes"] >= 0) & ~targets["is_crowd"]
    return is_object & (box_areas(targets["boxes"]) > 0)


def with_spare_row(targets: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """The targets with one more row of padding, so that there is a row to read in any batch.

    A batch of images without objects may come without rows, `boxes [B, 0, 4]`.
    """
    padding = {
        "boxes": 0,
        "classes": -1,
        "is_crowd": False,
        "mask_shapes": 0,
        "mask_boxes": 0,
        "keypoints": 0,
    }
    padded = dict(targets)
    for name in padding.keys() & targets.keys():
        rows = tf.convert_to_tensor(targets[name])
        paddings = [[0, 0], [0, 1]] + [[0, 0]] * (rows.shape.rank - 2)
        padded[name] = tf.pad(rows, paddings, constant_values=padding[name])
    return padded


def assign(
    candidates: tf.Tensor,
    targets: dict[str, tf.Tensor],
    high_threshold: float,
    low_threshold: float,
    allow_low_quality: bool,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Match candidate boxes to objects and label them for sampling.

    Args:
        candidates: `[A, 4]` anchors or `[B, N, 4]` proposals, pixels.
        targets: `boxes [B, M, 4]`, `classes [B, M]` (-1 is padding), `is_crowd [B, M]`.
        high_threshold: IoU from which a candidate is positive.
        low_threshold: IoU below which it is negative; between the two it is ignored.
        allow_low_quality: also make the best candidates of every object positive, whatever their
            IoU (Faster R-CNN's rule for anchors).

    Returns:
        `labels [B, N]` int32 of `sampling`, and `matches [B, N]` int32, the object's row (0 where
        there is none).
    """
    matches = match_boxes(
        candidates,
        targets["boxes"],
        learnable(targets),
        high_threshold,
        low_threshold,
        allow_low_quality,
    )
    labels = tf.where(matches >= 0, POSITIVE, tf.where(matches == -1, NEGATIVE, IGNORED))
    is_in_crowd = _covered_by_crowd(candidates, targets)
    labels = tf.where((labels == NEGATIVE) & is_in_crowd, IGNORED, labels)
    return labels, tf.maximum(matches, 0)


def _covered_by_crowd(candidates: tf.Tensor, targets: dict[str, tf.Tensor]) -> tf.Tensor:
    # Crowds are rare: only as many columns are compared as the batch has, most often none.
    is_crowd = targets["is_crowd"]
    counts = tf.reduce_sum(tf.cast(is_crowd, tf.int32), axis=1)
    most = tf.maximum(tf.reduce_max(counts), 0)  # of no images, the lowest integer
    present, rows = tf.math.top_k(tf.cast(is_crowd, tf.float32), k=most)
    crowds = tf.gather(targets["boxes"], rows, batch_dims=1)  # [B, C, 4]
    if candidates.shape.rank == 2:
        candidates = tf.broadcast_to(
            candidates[None], tf.concat([tf.shape(crowds)[:1], tf.shape(candidates)], axis=0)
        )
    coverage = pairwise_coverage(candidates, crowds) * present[:, None, :]  # [B, N, C]
    return tf.reduce_any(coverage >= CROWD_COVERAGE, axis=-1)
