"""Overlaps of boxes."""

import tensorflow as tf


def box_areas(boxes: tf.Tensor) -> tf.Tensor:
    """Areas `[...]` of `boxes [..., 4]` in square pixels; 0 for an inverted box."""
    sizes = tf.maximum(boxes[..., 2:] - boxes[..., :2], 0.0)
    return sizes[..., 0] * sizes[..., 1]


def pairwise_intersection(boxes: tf.Tensor, others: tf.Tensor) -> tf.Tensor:
    """Shared areas `[..., N, M]` of `boxes [..., N, 4]` and `others [..., M, 4]`, in pixels²."""
    boxes, others = boxes[..., :, None, :], others[..., None, :, :]
    top_left = tf.maximum(boxes[..., :2], others[..., :2])
    bottom_right = tf.minimum(boxes[..., 2:], others[..., 2:])
    return box_areas(tf.concat([top_left, bottom_right], axis=-1))


def pairwise_iou(boxes: tf.Tensor, others: tf.Tensor) -> tf.Tensor:
    """Intersection over union of every pair; 0 where the union is empty.

    Args:
        boxes: `[..., N, 4]`, pixels.
        others: `[..., M, 4]`, pixels, with the same leading dimensions.

    Returns:
        `[..., N, M]` float32 in 0..1.

    Example:

    >>> pairwise_iou(tf.constant([[0., 0., 2., 2.]]), tf.constant([[0., 0., 2., 1.]])).numpy()
    array([[0.5]], dtype=float32)
    """
    intersection = pairwise_intersection(boxes, others)
    union = box_areas(boxes)[..., :, None] + box_areas(others)[..., None, :] - intersection
    return tf.math.divide_no_nan(intersection, union)


def pairwise_coverage(boxes: tf.Tensor, regions: tf.Tensor) -> tf.Tensor:
    """Part of each box that a region covers, `[..., N, M]`: intersection over the box's own area.

    This is the overlap that COCO uses for crowd regions, where a box may lie anywhere inside.
    """
    intersection = pairwise_intersection(boxes, regions)
    return tf.math.divide_no_nan(intersection, box_areas(boxes)[..., :, None])
