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
