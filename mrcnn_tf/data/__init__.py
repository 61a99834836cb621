"""COCO-format data as `tf.data` pipelines.

>>> from mrcnn_tf import data
>>> train = data.coco("images", "annotations/train.json", batch_size=2, shuffle=True, flip=True)

Names are resolved on first use: only `coco` imports TensorFlow, and what reads or writes images.
"""

import importlib

_HOMES = {
    "BatchServer": "mrcnn_tf.data.service",
    "CocoDataset": "mrcnn_tf.data.coco_dataset",
    "RecordDataset": "mrcnn_tf.data.records",
    "coco": "mrcnn_tf.data.pipeline",
    "find_keypoints": "mrcnn_tf.data.splits",
    "find_split": "mrcnn_tf.data.splits",
    "open_split": "mrcnn_tf.data.splits",
    "read_image": "mrcnn_tf.data.image_files",
    "read_served": "mrcnn_tf.data.service",
    "verify_records": "mrcnn_tf.data.records_verify",
    "write_records": "mrcnn_tf.data.records_write",
}

__all__ = sorted([*_HOMES, "shapes"])


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name == "shapes":
        return importlib.import_module("mrcnn_tf.data.shapes")
    raise AttributeError(f"module 'mrcnn_tf.data' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
