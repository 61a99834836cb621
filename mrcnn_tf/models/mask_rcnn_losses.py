"""The multi-task loss of Mask R-CNN: targets, sampling, one loss after the other."""

import tensorflow as tf

from mrcnn_tf import losses as L
from mrcnn_tf import replicas
from mrcnn_tf.models.detector import split_input
from mrcnn_tf.ops import mask_targets

# Random choices that a step makes: anchors, RoIs, RoIs with joints.
SAMPLING_STREAMS = 3

LOSS_NAMES = (
    "rpn_objectness_loss",
    "rpn_box_loss",
    "class_loss",
    "box_loss",
    "mask_loss",
    "keypoint_loss",
)


def mask_rcnn_losses(model, x, y, training: bool, step, samples) -> dict[str, tf.Tensor]:
    """The losses by the names of `model.loss_names`; see `MaskRCNN.compute_losses`.

    Reference: Mask R-CNN, section 3; torchvision's `RegionProposalNetwork` and `RoIHeads`.
    """
    samples, y = samples or {}, L.with_spare_row(y)
    images, image_sizes = split_input(x)
    pyramid = model.features(images, image_sizes, training)
    logits, deltas = model.rpn(pyramid)
    anchors = model.anchors(pyramid)
    proposals = samples.get("proposals")
    if proposals is None:
        proposals, _, _ = model.training_proposals(logits, deltas, anchors, image_sizes)
    losses = _rpn_losses(model, logits, deltas, anchors, y, image_sizes, step, samples)
    candidates = _label_proposals(model, proposals, y)
    rois = samples.get("rois")
    if rois is None:
        rois = _sample(
            model, candidates[1], y, step, model.rois_per_image, model.positive_fraction, stream=1
        )
    boxes, matches = _rows(candidates, rois)  # [B, S, 4], [B, S]
    classes = tf.gather(y["classes"], matches, batch_dims=1)
    classes = tf.where(rois.is_positive, classes, model.num_classes)
    losses |= _box_losses(model, pyramid, boxes, matches, classes, rois, y, training)
    count = int(model.rois_per_image * model.positive_fraction)
    boxes, matches, classes, is_positive = (
        rows[:, :count] for rows in (boxes, matches, classes, rois.is_positive)
    )  # positives come first
    if model.mask:
        losses["mask_loss"] = _mask_loss(
            model, pyramid, y, image_sizes, boxes, matches, classes, is_positive, training
        )
    if model.keypoints:
        keypoints = _annotated_keypoints(model, y)
        if model.keypoint_rois_per_image is not None:
            boxes, matches, is_positive = _keypoint_rois(model, candidates, keypoints, y, step)
        losses["keypoint_loss"] = _keypoint_loss(
            model, pyramid, keypoints, boxes, matches, is_positive, training
        )
    return losses


def _rpn_losses(model, logits, deltas, anchors, y, image_sizes, step, samples):
    anchors = tf.concat(anchors, axis=0)
    logits, deltas = tf.concat(logits, axis=1), tf.concat(deltas, axis=1)
    labels, matches = L.rpn_labels(anchors, y, image_sizes, model.rpn_iou[1], model.rpn_iou[0])
    chosen = samples.get("anchors")
    if chosen is None:
        chosen = _sample(model, labels, y, step, model.anchors_per_image, 0.5, stream=0)
    boxes, method = y["boxes"], model.box_regression
    objectness_loss, box_loss = L.rpn_losses(
        logits, deltas, anchors, matches, chosen, boxes, model.rpn_beta, method
    )
    if model.rpn_focal:
        objectness_loss = L.rpn_focal_loss(logits, labels)
    return {"rpn_objectness_loss": objectness_loss, "rpn_box_loss": box_loss}


def _label_proposals(model, proposals, y):
    """Proposals and objects `[B, N, 4]`, their labels `[B, N]` and their objects' rows `[B, N]`."""
    # Objects stand among the proposals, so that the heads have positives from the first step.
    objects = tf.where(L.learnable(y)[..., None], y["boxes"], 0.0)
    proposals = tf.concat([proposals, objects], axis=1)
    labels, matches = L.assign(proposals, y, model.roi_iou, model.roi_iou, False)
    has_area = tf.reduce_all(proposals[..., 2:] > proposals[..., :2], axis=-1)
    return proposals, tf.where(has_area, labels, -1), matches


def _keypoint_rois(model, candidates, keypoints, y, step):
    """As many RoIs of objects with joints as the head may learn from, however few there are."""
    boxes, labels, matches = candidates
    has_joints = tf.reduce_any(keypoints[..., 2] > 0, axis=-1)  # [B, M]
    has_joints = tf.gather(has_joints, matches, batch_dims=1)
    labels = tf.where((labels > 0) & has_joints, 1, -1)
    rois = _sample(model, labels, y, step, model.keypoint_rois_per_image, 1.0, stream=2)
    return *_rows((boxes, labels, matches), rois), rois.is_positive


def _rows(candidates, rois) -> tuple[tf.Tensor, tf.Tensor]:
    boxes, _, matches = candidates
    return tuple(tf.gather(rows, rois.indices, batch_dims=1) for rows in (boxes, matches))


def _box_losses(model, pyramid, boxes, matches, classes, rois, y, training):
    pooled = model.box_pooling(pyramid[:-1], boxes)
    class_logits, box_deltas = model.box_head(pooled, rois.is_valid, training=training)
    return {
        "class_loss": L.class_loss(class_logits, classes, rois.is_valid),
        "box_loss": L.box_loss(
            box_deltas,
            classes,
            boxes,
            tf.gather(y["boxes"], matches, batch_dims=1),
            rois.is_positive,
            rois.is_valid,
            model.box_weights,
            model.box_beta,
            model.box_regression,
        ),
    }


def _mask_loss(model, pyramid, y, image_sizes, boxes, matches, classes, is_positive, training):
    pooled = model.mask_pooling(pyramid[:-1], boxes)
    logits = model.mask_head(pooled, is_positive, training=training)
    shapes = tf.gather(y["mask_shapes"], matches, batch_dims=1)
    has_mask = tf.reduce_all(shapes > 0, axis=-1) & is_positive
    targets = mask_targets(y, boxes, matches, logits.shape[2], image_sizes, **model.mask_targets)
    return L.mask_loss(logits, classes, targets, tf.cast(has_mask, tf.float32))


def _keypoint_loss(model, pyramid, keypoints, boxes, matches, is_positive, training):
    logits = model.keypoint_head(model.keypoint_pooling(pyramid[:-1], boxes), training=training)
    keypoints = tf.gather(keypoints, matches, batch_dims=1)  # [B, P, K, 3]
    cells, is_valid = L.keypoint_targets(keypoints, boxes, logits.shape[2])
    normalizer = None
    if not model.keypoint_loss_by_visible:
        most = model.keypoint_rois_per_image
        if most is None:
            most = model.rois_per_image * model.positive_fraction
        images = replicas.total(tf.cast(tf.shape(boxes)[0], tf.float32))
        normalizer = images * (most * model.keypoints)
    return L.keypoint_loss(logits, cells, is_valid & is_positive[..., None], normalizer)


def _annotated_keypoints(model, y) -> tf.Tensor:
    needed = f"y needs keypoints [batch, objects, {model.keypoints}, 3]"
    if "keypoints" not in y:
        raise ValueError(f"{needed}, for a model with joints; it has {sorted(y)}.")
    if not y["keypoints"].shape[2:].is_compatible_with([model.keypoints, 3]):
        raise ValueError(f"{needed}; got shape {y['keypoints'].shape}.")
    return tf.cast(y["keypoints"], tf.float32)


def _sample(model, labels, y, step, count: int, positive_fraction: float, stream: int):
    priorities = L.random_priorities(
        SAMPLING_STREAMS * model.seed + stream, step, y["image_id"], tf.shape(labels)[1]
    )
    return L.sample(labels, priorities, count, positive_fraction)
