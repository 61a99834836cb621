"""Keep boxes inside their image."""

import tensorflow as tf


def clip_boxes(boxes: tf.Tensor, image_sizes: tf.Tensor) -> tf.Tensor:
    """Clip boxes to the real area of their image.

    Args:
        boxes: `[B, N, 4]` or `[B, N, K, 4]`, pixels.
        image_sizes: `[B, 2]`, height and width of each image without padding.

    Returns:
        Boxes of the same shape, `0 <= x <= width` and `0 <= y <= height`.

    Example:

    >>> clip_boxes(tf.constant([[[-5., 2., 90., 50.]]]), tf.constant([[40, 80]])).numpy()
    array([[[ 0.,  2., 80., 40.]]], dtype=float32)
    """
    height_width = tf.cast(image_sizes, tf.float32)
    limits = tf.tile(height_width[:, ::-1], [1, 2])  # [B, 4]: width, height, width, height
    for _ in range(boxes.shape.rank - 2):
        limits = limits[:, None]
    return tf.clip_by_value(boxes, 0.0, limits)
