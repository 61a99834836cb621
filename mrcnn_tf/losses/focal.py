"""Cross-entropy that looks away from what is already right."""

import tensorflow as tf


def focal_loss(
    targets: tf.Tensor, logits: tf.Tensor, alpha: float = 0.25, gamma: float = 2.0
) -> tf.Tensor:
    """Sigmoid focal loss of every logit.

    Args:
        targets: `[...]` float32, 0 or 1.
        logits: `[...]` float32.
        alpha: weight of the ones; the zeros have `1 - alpha`.
        gamma: how fast the weight falls as the answer gets right; 0 is weighted cross-entropy.

    Returns:
        `[...]` float32.

    Reference: Lin et al., Focal Loss for Dense Object Detection, 2017, equation 5;
    `tfa.losses.sigmoid_focal_crossentropy`, torchvision's `sigmoid_focal_loss`.

    Example:

    >>> focal_loss(tf.constant([1.]), tf.constant([0.])).numpy().round(4)
    array([0.0433], dtype=float32)
    """
    entropy = tf.nn.sigmoid_cross_entropy_with_logits(labels=targets, logits=logits)
    wrong = tf.sigmoid(tf.where(targets > 0.5, -logits, logits))
    weights = tf.where(targets > 0.5, alpha, 1.0 - alpha)
    return weights * wrong**gamma * entropy
