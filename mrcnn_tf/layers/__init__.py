"""Keras layers of the detectors."""

from mrcnn_tf.layers.anchor_generator import AnchorGenerator
from mrcnn_tf.layers.backbones import build_backbone
from mrcnn_tf.layers.best_class_detections import BestClassDetections
from mrcnn_tf.layers.box_head import BoxHead
from mrcnn_tf.layers.crop_and_resize_pooling import CropAndResizePooling
from mrcnn_tf.layers.detections import Detections
from mrcnn_tf.layers.efficientnet_lite import EfficientNetLite0
from mrcnn_tf.layers.fpn import FPN
from mrcnn_tf.layers.joint_proposals import JointProposals
from mrcnn_tf.layers.keras_applications import KerasApplication
from mrcnn_tf.layers.keypoint_decoding import KeypointDecoding
from mrcnn_tf.layers.keypoint_head import KeypointHead
from mrcnn_tf.layers.mask_head import MaskHead
from mrcnn_tf.layers.matterport_resnet import MatterportResNet
from mrcnn_tf.layers.normalization import FrozenBatchNormalization
from mrcnn_tf.layers.normalize_images import NormalizeImages
from mrcnn_tf.layers.proposals import Proposals
from mrcnn_tf.layers.resnet import ResNet
from mrcnn_tf.layers.roi_pooling import RoIPooling
from mrcnn_tf.layers.rpn_head import RPNHead
from mrcnn_tf.layers.square_images import SquareImages

__all__ = [
    "FPN",
    "AnchorGenerator",
    "BestClassDetections",
    "BoxHead",
    "CropAndResizePooling",
    "Detections",
    "EfficientNetLite0",
    "FrozenBatchNormalization",
    "JointProposals",
    "KerasApplication",
    "KeypointDecoding",
    "KeypointHead",
    "MaskHead",
    "MatterportResNet",
    "NormalizeImages",
    "Proposals",
    "RPNHead",
    "ResNet",
    "RoIPooling",
    "SquareImages",
    "build_backbone",
]
