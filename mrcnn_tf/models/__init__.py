"""Assembled models."""

from mrcnn_tf.models.load import load
from mrcnn_tf.models.mask_rcnn import MaskRCNN
from mrcnn_tf.models.predictor import Predictor

__all__ = ["MaskRCNN", "Predictor", "load"]
