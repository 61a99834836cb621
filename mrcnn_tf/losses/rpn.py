"""The two losses of the region proposal network."""

import tensorflow as tf

from mrcnn_tf import replicas
from mrcnn_tf.losses.assign import assign
from mrcnn_tf.losses.box_regression import box_regression
from mrcnn_tf.losses.focal import focal_loss
from mrcnn_tf.losses.sampling import IGNORED, POSITIVE, Samples


def rpn_labels(
    anchors: tf.Tensor,
    targets: dict[str, tf.Tensor],
    image_sizes: tf.Tensor,
    positive_iou: float,
    negative_iou: float,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Label anchors for sampling; those centred on padding are ignored.

    Returns:
        `labels [B, A]` and `matches [B, A]`, as `assign` gives them.
    """
    labels, matches = assign(anchors, targets, positive_iou, negative_iou, allow_low_quality=True)
    centres = (anchors[:, :2] + anchors[:, 2:]) / 2  # [A, 2]: x, y
    limits = tf.cast(image_sizes[:, ::-1], tf.float32)  # [B, 2]: width, height
    inside = tf.reduce_all(centres[None] < limits[:, None], axis=-1)
    return tf.where(inside, labels, IGNORED), matches


def rpn_losses(
    logits: tf.Tensor,
    deltas: tf.Tensor,
    anchors: tf.Tensor,
    matches: tf.Tensor,
    samples: Samples,
    boxes: tf.Tensor,
    beta: float = 1.0 / 9,
    method: str = "smooth_l1",
) -> tuple[tf.Tensor, tf.Tensor]:
    """Objectness and box loss over the sampled anchors, as torchvision normalises them.

    Both are divided by the number of sampled anchors in the batch, so that the box loss weighs
    as many positives as there are.

    Args:
        logits: `[B, A]` float32.
        deltas: `[B, A, 4]` float32.
        anchors: `[A, 4]`, pixels.
        matches: `[B, A]` int32, the object of each anchor.
        samples: chosen anchors.
        boxes: `[B, M, 4]` objects, pixels.
        beta: of the smooth L1 loss.
        method: see `box_regression`.

    Returns:
        Two float32 scalars: objectness loss, box loss. 0 if nothing was sampled.
    """
    chosen_logits = tf.gather(logits, samples.indices, batch_dims=1)  # [B, S]
    is_positive = tf.cast(samples.is_positive, tf.float32)
    is_valid = tf.cast(samples.is_valid, tf.float32)
    count = tf.maximum(replicas.total(tf.reduce_sum(is_valid)), 1.0)
    entropy = tf.nn.sigmoid_cross_entropy_with_logits(labels=is_positive, logits=chosen_logits)
    objectness_loss = tf.reduce_sum(entropy * is_valid) / count

    chosen_deltas = tf.gather(deltas, samples.indices, batch_dims=1)  # [B, S, 4]
    chosen_anchors = tf.gather(anchors, samples.indices)
    rows = tf.gather(matches, samples.indices, batch_dims=1)
    objects = tf.gather(boxes, rows, batch_dims=1)
    distance = box_regression(method, chosen_deltas, chosen_anchors, objects, beta=beta)
    return objectness_loss, tf.reduce_sum(distance * is_positive) / count


def rpn_focal_loss(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Objectness loss of all anchors that are positive or negative, none of them sampled.

    Args:
        logits: `[B, A]` float32.
        labels: `[B, A]` int32, see `rpn_labels`.

    Returns:
        Scalar float32: the sum, divided by the positive anchors of the batch.

    Reference: Lin et al., Focal Loss for Dense Object Detection, 2017, section 3.
    """
    is_positive = tf.cast(labels == POSITIVE, tf.float32)
    losses = focal_loss(is_positive, logits) * tf.cast(labels != IGNORED, tf.float32)
    count = replicas.total(tf.reduce_sum(is_positive))
    return tf.reduce_sum(losses) / tf.maximum(count, 1.0)
