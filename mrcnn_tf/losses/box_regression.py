"""How far predicted boxes are from their objects: by their deltas, or by their overlap."""

import math

import tensorflow as tf

from mrcnn_tf.boxes import box_areas, decode_boxes, encode_boxes
from mrcnn_tf.losses.smooth_l1 import smooth_l1

BOX_REGRESSIONS = ("smooth_l1", "giou", "ciou")
_EPSILON = 1e-7


def box_regression(
    method: str,
    deltas: tf.Tensor,
    references: tf.Tensor,
    boxes: tf.Tensor,
    weights: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0),
    beta: float = 0.0,
) -> tf.Tensor:
    """Loss of every row by one of `BOX_REGRESSIONS`.

    Args:
        method: `"smooth_l1"` compares deltas; `"giou"` and `"ciou"` the boxes they lead to.
        deltas: `[..., 4]` float32, predicted.
        references: `[..., 4]`, anchors or RoIs, pixels.
        boxes: `[..., 4]`, objects, pixels.
        weights: factors of the deltas, see `encode_boxes`.
        beta: of the smooth L1 loss.

    Returns:
        `[...]` float32. Gradients go to `deltas` alone.

    Reference: Detectron2's `_dense_box_regression_loss`.
    """
    references, boxes = tf.stop_gradient(references), tf.stop_gradient(boxes)
    if method == "smooth_l1":
        return smooth_l1(encode_boxes(boxes, references, weights), deltas, beta)
    predictions = decode_boxes(deltas, references, weights)
    return {"giou": giou_loss, "ciou": ciou_loss}[method](boxes, predictions)


def giou_loss(targets: tf.Tensor, predictions: tf.Tensor) -> tf.Tensor:
    """1 - generalised IoU: also boxes that do not meet are drawn to each other.

    Args:
        targets: `[..., 4]`, pixels.
        predictions: `[..., 4]`, pixels.

    Returns:
        `[...]` float32 in 0..2.

    Reference: Rezatofighi et al., Generalized Intersection over Union, 2019;
    `tfa.losses.GIoULoss`, torchvision's `generalized_box_iou_loss`.

    Example:

    >>> giou_loss(tf.constant([0., 0., 2., 2.]), tf.constant([2., 0., 4., 2.])).numpy()
    1.0
    """
    intersection, union, hull = _overlap(targets, predictions)
    area = box_areas(hull)
    iou = tf.math.divide_no_nan(intersection, union)
    return 1.0 - iou + tf.math.divide_no_nan(area - union, area)


def ciou_loss(targets: tf.Tensor, predictions: tf.Tensor) -> tf.Tensor:
    """1 - complete IoU: overlap, distance of the centres and difference of the aspect ratios.

    Args:
        targets: `[..., 4]`, pixels.
        predictions: `[..., 4]`, pixels.

    Returns:
        `[...]` float32, at least 0.

    Reference: Zheng et al., Distance-IoU Loss, 2020; torchvision's `complete_box_iou_loss`.

    Example:

    >>> ciou_loss(tf.constant([0., 0., 2., 2.]), tf.constant([2., 0., 4., 2.])).numpy()
    1.2
    """
    intersection, union, hull = _overlap(targets, predictions)
    iou = tf.math.divide_no_nan(intersection, union)
    diagonal = tf.reduce_sum((hull[..., 2:] - hull[..., :2]) ** 2, axis=-1)
    shift = (targets[..., :2] + targets[..., 2:] - predictions[..., :2] - predictions[..., 2:]) / 2
    distance = tf.reduce_sum(shift**2, axis=-1) / (diagonal + _EPSILON)
    turn = (4 / math.pi**2) * (_aspect(targets) - _aspect(predictions)) ** 2
    # The paper holds this factor fixed: it balances the terms and is not to be learnt.
    balance = tf.stop_gradient(turn / (1.0 - iou + turn + _EPSILON))
    return 1.0 - iou + distance + balance * turn


def _overlap(boxes: tf.Tensor, others: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Areas of intersection and union `[...]`, and the box around both `[..., 4]`."""
    top_left = tf.maximum(boxes[..., :2], others[..., :2])
    bottom_right = tf.minimum(boxes[..., 2:], others[..., 2:])
    intersection = box_areas(tf.concat([top_left, bottom_right], axis=-1))
    union = box_areas(boxes) + box_areas(others) - intersection
    top_left = tf.minimum(boxes[..., :2], others[..., :2])
    bottom_right = tf.maximum(boxes[..., 2:], others[..., 2:])
    return intersection, union, tf.concat([top_left, bottom_right], axis=-1)


def _aspect(boxes: tf.Tensor) -> tf.Tensor:
    sizes = boxes[..., 2:] - boxes[..., :2]
    return tf.math.atan2(sizes[..., 0], tf.maximum(sizes[..., 1], _EPSILON))
