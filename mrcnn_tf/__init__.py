"""Mask R-CNN for Keras 3 on TensorFlow, with compiled RoIAlign and NMS.

>>> import mrcnn_tf
>>> model = mrcnn_tf.MaskRCNN(backbone="resnet50", num_classes=80)

Names are resolved on first use, so that `import mrcnn_tf` does not import TensorFlow.
"""

import importlib

__version__ = "0.1.0"

_HOMES = {
    "MaskRCNN": "mrcnn_tf.models",
    "Predictor": "mrcnn_tf.models",
    "load": "mrcnn_tf.models",
}
_ROOMS = (
    "boxes",
    "data",
    "evaluation",
    "export",
    "layers",
    "losses",
    "models",
    "ops",
    "training",
    "visualize",
    "weights",
)

__all__ = ["MaskRCNN", "Predictor", "__version__", "load", *_ROOMS]


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name in _ROOMS:
        return importlib.import_module(f"mrcnn_tf.{name}")
    raise AttributeError(f"module 'mrcnn_tf' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
