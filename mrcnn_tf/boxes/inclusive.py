"""Boxes that end on their last pixel instead of past it, as Matterport's Mask R-CNN counts."""

import tensorflow as tf

PAST_THE_END = (0.0, 0.0, 1.0, 1.0)


def to_inclusive(boxes: tf.Tensor) -> tf.Tensor:
    """Boxes whose lower right corner is the position of their last pixel.

    Matterport decodes, clips, suppresses and pools boxes in coordinates from 0 to 1, 1 being the
    last pixel: `(box - (0, 0, 1, 1)) / (size - 1)`. The division changes none of the first three,
    so what is left of it is the subtraction.

    Args:
        boxes: `[..., 4]`, pixels.

    Returns:
        `[..., 4]`, 1 px smaller.

    Source: `norm_boxes` in Matterport's `utils.py`.

    Example:

    >>> to_inclusive(tf.constant([[10., 20., 30., 40.]])).numpy()
    array([[10., 20., 29., 39.]], dtype=float32)
    """
    return boxes - tf.constant(PAST_THE_END)


def from_inclusive(boxes: tf.Tensor) -> tf.Tensor:
    """The inverse of `to_inclusive`.

    Example:

    >>> from_inclusive(tf.constant([[10., 20., 29., 39.]])).numpy()
    array([[10., 20., 30., 40.]], dtype=float32)
    """
    return boxes + tf.constant(PAST_THE_END)


def rescale_inclusive_boxes(boxes: tf.Tensor, sizes: tf.Tensor, new_sizes: tf.Tensor) -> tf.Tensor:
    """`rescale_boxes` that maps last pixels onto last pixels, and rounds to whole pixels.

    A row of zeros, which is padding, stays one.

    Source: `unmold_detections` in Matterport's `model.py`.

    Example:

    >>> rescale_inclusive_boxes(tf.constant([[0., 0., 50., 50.]]), [50, 50], [99, 197]).numpy()
    array([[  0.,   0., 197.,  99.]], dtype=float32)
    """
    last, new_last = (
        tf.maximum(tf.cast(values, tf.float32)[..., None, ::-1] - 1.0, 0.0)
        for values in (sizes, new_sizes)
    )
    scale = new_last / tf.maximum(last, 1.0)
    moved = to_inclusive(boxes) * tf.concat([scale, scale], axis=-1)
    moved = tf.clip_by_value(moved, 0.0, tf.concat([new_last, new_last], axis=-1))
    is_box = tf.reduce_any(tf.not_equal(boxes, 0.0), axis=-1, keepdims=True)
    return tf.where(is_box, tf.round(from_inclusive(moved)), 0.0)
