"""Targets and loss of the keypoint head."""

import tensorflow as tf

from mrcnn_tf import replicas


def keypoint_targets(
    keypoints: tf.Tensor, boxes: tf.Tensor, side: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """The cell of its RoI's heatmap in which every joint lies.

    A joint on the right or bottom edge of the box belongs to the last cell.

    Args:
        keypoints: `[B, P, K, 3]`, the joints of each RoI's object: x, y in pixels and visibility, 0
            where a joint is not annotated.
        boxes: `[B, P, 4]` RoIs, pixels.
        side: cells of a heatmap per axis.

    Returns:
        `cells [B, P, K]` int32, counted row by row, and `is_valid [B, P, K]` bool, False (and cell
        0) where a joint is not annotated or lies outside its box.

    Reference: `keypoints_to_heatmap` of torchvision and of Detectron2.
    """
    corners, opposite = boxes[..., None, :2], boxes[..., None, 2:]
    scale = tf.math.divide_no_nan(float(side), opposite - corners)
    places = keypoints[..., :2]
    cells = tf.cast(tf.floor((places - corners) * scale), tf.int32)
    cells = tf.where(places == opposite, side - 1, cells)  # [B, P, K, 2]: column, row
    is_inside = tf.reduce_all((cells >= 0) & (cells < side), axis=-1)
    has_area = tf.reduce_all(opposite > corners, axis=-1)
    is_valid = is_inside & has_area & (keypoints[..., 2] > 0)
    return tf.where(is_valid, cells[..., 1] * side + cells[..., 0], 0), is_valid


def keypoint_loss(
    logits: tf.Tensor, cells: tf.Tensor, is_valid: tf.Tensor, normalizer: float | None = None
) -> tf.Tensor:
    """Softmax cross-entropy over the cells of a heatmap, of which one holds the joint.

    Args:
        logits: `[B, P, h, w, K]` float32.
        cells: `[B, P, K]` int32, see `keypoint_targets`.
        is_valid: `[B, P, K]` bool: joints to learn.
        normalizer: what to divide the sum by; None: by the number of valid joints.

    Returns:
        Scalar float32: the mean over valid joints, or the part of `normalizer`; 0 if there is none.

    Reference: Mask R-CNN, section 5; torchvision's `keypointrcnn_loss`; `normalizer` is
    Detectron2's `loss_normalizer`.
    """
    height, width, joints = logits.shape[2:]
    maps = tf.reshape(logits, [-1, height * width, joints])
    maps = tf.transpose(maps, [0, 2, 1])  # [B * P, K, h * w]
    entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(
        labels=tf.reshape(cells, [-1, joints]), logits=maps
    )
    weights = tf.cast(tf.reshape(is_valid, [-1, joints]), tf.float32)
    if normalizer is None:
        normalizer = tf.maximum(replicas.total(tf.reduce_sum(weights)), 1.0)
    return tf.reduce_sum(entropy * weights) / normalizer
