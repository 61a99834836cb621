"""Training targets, sampling, and one file a loss."""

from mrcnn_tf.losses.assign import assign, learnable, with_spare_row
from mrcnn_tf.losses.box_head import box_loss, class_loss
from mrcnn_tf.losses.box_regression import BOX_REGRESSIONS, box_regression, ciou_loss, giou_loss
from mrcnn_tf.losses.focal import focal_loss
from mrcnn_tf.losses.keypoint_head import keypoint_loss, keypoint_targets
from mrcnn_tf.losses.mask_head import mask_loss, select_class
from mrcnn_tf.losses.rpn import rpn_focal_loss, rpn_labels, rpn_losses
from mrcnn_tf.losses.sampling import Samples, random_priorities, sample
from mrcnn_tf.losses.smooth_l1 import smooth_l1

__all__ = [
    "BOX_REGRESSIONS",
    "Samples",
    "assign",
    "box_loss",
    "box_regression",
    "ciou_loss",
    "class_loss",
    "focal_loss",
    "giou_loss",
    "keypoint_loss",
    "keypoint_targets",
    "learnable",
    "mask_loss",
    "random_priorities",
    "rpn_focal_loss",
    "rpn_labels",
    "rpn_losses",
    "sample",
    "select_class",
    "smooth_l1",
    "with_spare_row",
]
