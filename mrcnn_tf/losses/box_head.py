"""The two losses of the box head."""

import tensorflow as tf

from mrcnn_tf import replicas
from mrcnn_tf.losses.box_regression import box_regression


def class_loss(logits: tf.Tensor, classes: tf.Tensor, is_valid: tf.Tensor) -> tf.Tensor:
    """Softmax cross-entropy over all sampled RoIs, background being the last logit.

    Args:
        logits: `[B, S, K + 1]` float32.
        classes: `[B, S]` int32 in 0..K.
        is_valid: `[B, S]` bool.

    Returns:
        Scalar float32: the mean over valid RoIs, 0 if there is none.
    """
    weights = tf.cast(is_valid, tf.float32)
    entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=classes, logits=logits)
    count = replicas.total(tf.reduce_sum(weights))
    return tf.reduce_sum(entropy * weights) / tf.maximum(count, 1.0)


def box_loss(
    deltas: tf.Tensor,
    classes: tf.Tensor,
    rois: tf.Tensor,
    boxes: tf.Tensor,
    is_positive: tf.Tensor,
    is_valid: tf.Tensor,
    weights: tuple[float, ...],
    beta: float,
    method: str = "smooth_l1",
) -> tf.Tensor:
    """Regression loss of the positive RoIs' own class, divided by all valid RoIs.

    Dividing by all of them (as torchvision and Detectron2 do) gives every object the same
    weight, however many positives an image has.

    Args:
        deltas: `[B, S, K, 4]`, or `[B, S, 1, 4]` for a class-agnostic head; float32.
        classes: `[B, S]` int32 in 0..K.
        rois: `[B, S, 4]`, pixels.
        boxes: `[B, S, 4]`, the object of each RoI, pixels.
        is_positive: `[B, S]` bool.
        is_valid: `[B, S]` bool.
        weights: factors of the deltas, see `encode_boxes`.
        beta: of the smooth L1 loss.
        method: see `box_regression`.

    Returns:
        Scalar float32.
    """
    num_sets = deltas.shape[2]
    chosen = tf.gather(deltas, tf.minimum(classes, num_sets - 1), axis=2, batch_dims=2)
    distance = box_regression(method, chosen, rois, boxes, weights, beta)
    distance *= tf.cast(is_positive, tf.float32)
    count = replicas.total(tf.reduce_sum(tf.cast(is_valid, tf.float32)))
    return tf.reduce_sum(distance) / tf.maximum(count, 1.0)
