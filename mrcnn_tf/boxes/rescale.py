"""Boxes and points of an image in another size of it."""

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
    scale = _scale(sizes, new_sizes)
    limits = tf.cast(new_sizes, tf.float32)[..., None, ::-1]
    limits = tf.concat([limits, limits], axis=-1)
    return tf.clip_by_value(boxes * tf.concat([scale, scale], axis=-1), 0.0, limits)


def rescale_points(points: tf.Tensor, sizes: tf.Tensor, new_sizes: tf.Tensor) -> tf.Tensor:
    """The points after their images were resized, whatever belongs to a point unchanged.

    Args:
        points: `[B, N, K, 2 or more]`, x and y in pixels first; or `[N, K, ...]` of one image.
        sizes: `[B, 2]`, or `[2]`, height and width of the images.
        new_sizes: the same after resizing.

    Returns:
        Points of the same shape, float32, in pixels of the resized images; not clipped.

    Example:

    >>> rescale_points(tf.constant([[[10.0, 20.0, 0.9]]]), [40, 80], [20, 160]).numpy()
    array([[[20. , 10. ,  0.9]]], dtype=float32)
    """
    scale = _scale(sizes, new_sizes)[..., None, :]
    return tf.concat([points[..., :2] * scale, points[..., 2:]], axis=-1)


def _scale(sizes: tf.Tensor, new_sizes: tf.Tensor) -> tf.Tensor:
    """Factors of x and y, `[B, 1, 2]` or `[1, 2]`."""
    new_width_height = tf.cast(new_sizes, tf.float32)[..., None, ::-1]
    return new_width_height / tf.cast(sizes, tf.float32)[..., None, ::-1]
