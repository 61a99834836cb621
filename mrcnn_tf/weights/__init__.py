"""Pretrained weights: presets, and PyTorch checkpoints into Keras layers."""

from mrcnn_tf.weights.backbone import load_backbone_weights
from mrcnn_tf.weights.load_preset import copy_matching_weights, model_from_preset
from mrcnn_tf.weights.presets import PRESETS, Preset
from mrcnn_tf.weights.torch_files import read_state_dict, read_torch_file

__all__ = [
    "PRESETS",
    "Preset",
    "copy_matching_weights",
    "load_backbone_weights",
    "model_from_preset",
    "read_state_dict",
    "read_torch_file",
]
