"""The loss of the mask head."""

import tensorflow as tf

from mrcnn_tf import replicas
from mrcnn_tf.ops.shapes import one_hot


def mask_loss(
    logits: tf.Tensor, classes: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor
) -> tf.Tensor:
    """Binary cross-entropy on the mask of the true class only (Mask R-CNN, section 3).

    Args:
        logits: `[B, P, h, w, K]`, or `[..., 1]` for a class-agnostic head; float32.
        classes: `[B, P]` int32 in 0..K-1.
        targets: `[B, P, h, w]` float32 in 0..1.
        weights: `[B, P]` float32: 1 for a positive RoI whose object has a mask, else 0.

    Returns:
        Scalar float32: the mean over pixels of weighted RoIs, 0 if there is none.
    """
    chosen = select_class(logits, classes)
    entropy = tf.nn.sigmoid_cross_entropy_with_logits(labels=targets, logits=chosen)
    per_roi = tf.reduce_mean(entropy, axis=[2, 3])
    count = replicas.total(tf.reduce_sum(weights))
    return tf.reduce_sum(per_roi * weights) / tf.maximum(count, 1.0)


def select_class(logits: tf.Tensor, classes: tf.Tensor) -> tf.Tensor:
    """The maps `[B, P, h, w]` of each row's class out of `logits [B, P, h, w, K]`."""
    height, width, num_maps = logits.shape[2:]
    if num_maps == 1:
        return logits[..., 0]
    chosen = one_hot(tf.maximum(classes, 0), num_maps, logits.dtype)
    rows = tf.shape(classes)
    maps = tf.reshape(logits, tf.concat([rows, [height * width, num_maps]], axis=0))
    # No einsum, which TensorFlow.js does not have in WebAssembly.
    maps = tf.linalg.matvec(maps, chosen)  # [B, P, h * w]
    return tf.reshape(maps, tf.concat([rows, [height, width]], axis=0))
