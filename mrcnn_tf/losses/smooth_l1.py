"""The robust regression loss of Fast R-CNN."""

import tensorflow as tf


def smooth_l1(targets: tf.Tensor, predictions: tf.Tensor, beta: float) -> tf.Tensor:
    """Element-wise loss: quadratic below `beta`, linear above (Fast R-CNN, equation 3).

    Args:
        targets: `[..., 4]`.
        predictions: `[..., 4]`.
        beta: where the two parts meet; 0 is the L1 loss, as in Detectron2's box head.

    Returns:
        `[...]` float32, summed over the last axis.
    """
    difference = tf.abs(predictions - targets)
    if beta > 0:
        difference = tf.where(
            difference < beta, 0.5 * difference**2 / beta, difference - 0.5 * beta
        )
    return tf.reduce_sum(difference, axis=-1)
