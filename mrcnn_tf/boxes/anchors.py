"""Anchors: the reference boxes of the region proposal network."""

import math

import numpy as np
import tensorflow as tf


def cell_anchors(size: float, ratios: tuple[float, ...]) -> np.ndarray:
    """Anchors of one feature map cell, centred on the origin.

    Args:
        size: side in pixels of the square anchor; the others have the same area.
        ratios: height / width of each anchor.

    Returns:
        `[len(ratios), 4]` float32.

    Example:

    >>> cell_anchors(32, (1.0,))
    array([[-16., -16.,  16.,  16.]], dtype=float32)
    """
    rows = []
    for ratio in ratios:
        width, height = size / math.sqrt(ratio), size * math.sqrt(ratio)
        rows.append([-width / 2, -height / 2, width / 2, height / 2])
    return np.array(rows, np.float32)


def make_anchors(
    height: tf.Tensor,
    width: tf.Tensor,
    stride: int | tuple,
    cell: np.ndarray,
    offset: float = 0.0,
) -> tf.Tensor:
    """Anchors of one pyramid level, in the order of the RPN's outputs: row, column, anchor.

    Args:
        height: rows of the feature map.
        width: columns of the feature map.
        stride: pixels between two cells; a pair is that between rows and that between columns.
        cell: `[A, 4]`, from `cell_anchors`.
        offset: position of the first centre, in strides: 0 as in torchvision and Detectron2,
            0.5 for the middle of the cell.

    Returns:
        `[height * width * A, 4]` float32, pixels.

    Example:

    >>> make_anchors(1, 2, 16, cell_anchors(32, (1.0,))).numpy()
    array([[-16., -16.,  16.,  16.],
           [  0., -16.,  32.,  16.]], dtype=float32)
    """
    strides = stride if isinstance(stride, tuple) else (stride, stride)
    down, right = (tf.cast(pixels, tf.float32) for pixels in strides)
    columns = (tf.cast(tf.range(width), tf.float32) + offset) * right
    rows = (tf.cast(tf.range(height), tf.float32) + offset) * down
    x, y = tf.meshgrid(columns, rows)
    shifts = tf.stack([x, y, x, y], axis=-1)  # [H, W, 4]
    return tf.reshape(shifts[:, :, None, :] + tf.constant(cell), [-1, 4])
