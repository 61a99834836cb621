"""Pretrained weights: presets, and other libraries' checkpoints into Keras layers."""

from mrcnn_tf.weights.array_pickles import read_array_pickle
from mrcnn_tf.weights.backbone import load_backbone_weights
from mrcnn_tf.weights.detectron2 import (
    DETECTRON2_ARGUMENTS,
    load_detectron2_weights,
    model_from_detectron2,
)
from mrcnn_tf.weights.download import PublishedFile, published_file
from mrcnn_tf.weights.load_preset import copy_matching_weights, model_from_preset, preset_arguments
from mrcnn_tf.weights.matterport import load_matterport_weights, model_from_matterport
from mrcnn_tf.weights.presets import PRESETS, Preset, PublishedDetector
from mrcnn_tf.weights.torch_files import read_state_dict, read_torch_file
from mrcnn_tf.weights.torchvision_detection import (
    TORCHVISION_ARGUMENTS,
    TORCHVISION_V2_ARGUMENTS,
    load_torchvision_weights,
    model_from_torchvision,
)

__all__ = [
    "DETECTRON2_ARGUMENTS",
    "PRESETS",
    "Preset",
    "PublishedDetector",
    "PublishedFile",
    "TORCHVISION_ARGUMENTS",
    "TORCHVISION_V2_ARGUMENTS",
    "copy_matching_weights",
    "load_backbone_weights",
    "load_detectron2_weights",
    "load_matterport_weights",
    "load_torchvision_weights",
    "model_from_detectron2",
    "model_from_matterport",
    "model_from_preset",
    "model_from_torchvision",
    "preset_arguments",
    "published_file",
    "read_array_pickle",
    "read_state_dict",
    "read_torch_file",
]
