"""Boxes of an image in another size of it."""

import tensorflow as tf


def rescale_boxes(boxes: tf.Tensor, sizes: tf.Tensor, new_sizes: tf.Tensor) -> tf.Tensor:
    """The boxes after their images were resized, clipped to them.

    Args:
        boxes: `[B, N, 4]`, pixels; or `[N, 4]` of one image.
        sizes: `[B, 2]`, or `[2]`, height and width of the images.
        new_sizes: the same after resizing.

    Returns:
        Boxes of the same shape, float32, pixels of the resized images.

    Example:

    >>> rescale_boxes(tf.constant([[10., 20., 30., 45.]]), [40, 80], [20, 160]).numpy()
    array([[20., 10., 60., 20.]], dtype=float32)
    """
    new_width_height = tf.cast(new_sizes, tf.float32)[..., None, ::-1]
    scale = new_width_height / tf.cast(sizes, tf.float32)[..., None, ::-1]
    limits = tf.concat([new_width_height, new_width_height], axis=-1)
    return tf.clip_by_value(boxes * tf.concat([scale, scale], axis=-1), 0.0, limits)
