"""Box regression targets: the difference between a box and a reference box, and back."""

import math

import tensorflow as tf

# exp(4.135) * 16 px = 1000 px: a delta past it comes from a diverging network, not from an object.
MAX_LOG_SCALE = math.log(1000.0 / 16)


def _centres_and_sizes(boxes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    top_left, bottom_right = boxes[..., :2], boxes[..., 2:]
    sizes = bottom_right - top_left
    return top_left + 0.5 * sizes, sizes


def encode_boxes(
    boxes: tf.Tensor, references: tf.Tensor, weights: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)
) -> tf.Tensor:
    """Deltas that lead from `references` to `boxes` (R-CNN, appendix C).

    Boxes without area give deltas of a box of one thousandth of a pixel, so that the result is
    always finite; callers give such rows no weight.

    Args:
        boxes: `[..., 4]`, pixels, `x1, y1, x2, y2`.
        references: `[..., 4]`, anchors or proposals, broadcast against `boxes`.
        weights: factors of the four deltas; torchvision and Detectron2 use `(10, 10, 5, 5)` in
            the box head.

    Returns:
        `[..., 4]` float32, `dx, dy, log dw, log dh`, times the weights.

    Example:

    >>> encode_boxes(tf.constant([[2., 0., 12., 10.]]), tf.constant([[0., 0., 10., 10.]])).numpy()
    array([[0.2, 0. , 0. , 0. ]], dtype=float32)
    """
    centres, sizes = _centres_and_sizes(boxes)
    reference_centres, reference_sizes = _centres_and_sizes(references)
    sizes = tf.maximum(sizes, 1e-3)
    reference_sizes = tf.maximum(reference_sizes, 1e-3)
    shifts = (centres - reference_centres) / reference_sizes
    scales = tf.math.log(sizes / reference_sizes)
    return tf.concat([shifts, scales], axis=-1) * tf.constant(weights, tf.float32)


def decode_boxes(
    deltas: tf.Tensor, references: tf.Tensor, weights: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)
) -> tf.Tensor:
    """Boxes that `deltas` lead to from `references`: the inverse of `encode_boxes`.

    Args:
        deltas: `[..., 4]`, as `encode_boxes` gives them; log sizes are clamped to
            `log(1000 / 16)` as in torchvision and Detectron2.
        references: `[..., 4]`, pixels, broadcast against `deltas`.
        weights: the factors that `encode_boxes` was called with.

    Returns:
        `[..., 4]` float32 boxes in pixels, not clipped.

    Example:

    >>> decode_boxes(tf.constant([[.2, 0., 0., 0.]]), tf.constant([[0., 0., 10., 10.]])).numpy()
    array([[ 2.,  0., 12., 10.]], dtype=float32)
    """
    centres, sizes = _centres_and_sizes(references)
    deltas = deltas / tf.constant(weights, tf.float32)
    centres = deltas[..., :2] * sizes + centres
    half_sizes = 0.5 * tf.exp(tf.minimum(deltas[..., 2:], MAX_LOG_SCALE)) * sizes
    return tf.concat([centres - half_sizes, centres + half_sizes], axis=-1)
