"""Assembled models."""

from mrcnn_tf.models.load import load
from mrcnn_tf.models.mask_rcnn import MaskRCNN
from mrcnn_tf.models.matterport import MatterportMaskRCNN
from mrcnn_tf.models.predictor import Predictor

__all__ = ["MaskRCNN", "MatterportMaskRCNN", "Predictor", "load"]
