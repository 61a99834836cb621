"""Small checkpoints in the place of published ones."""

import functools
import hashlib
import os
import pickle
from collections import OrderedDict
from pathlib import Path

import keras
import numpy as np

from mrcnn_tf import MaskRCNN
from mrcnn_tf.models import MatterportMaskRCNN
from mrcnn_tf.weights import PRESETS
from tests.weights import test_detectron2_names as detectron2
from tests.weights import test_matterport_names as matterport
from tests.weights import test_torchvision_detection as torchvision
from tests.weights.matterport_case import write_h5
from tests.weights.test_torch_files import Tensor, write_zip

TORCHVISION = "torchvision/maskrcnn_resnet50_fpn_coco"
DETECTRON2 = "detectron2/mask_rcnn_R_50_FPN_3x"
MATTERPORT = "matterport/mask_rcnn_coco"
CLASSES = {"num_classes": 2, "class_names": ["bolt", "nut"], "category_ids": [4, 9]}
ARGUMENTS = {
    TORCHVISION: {**torchvision.SMALL, **CLASSES, "image_size": (64, 96)},
    DETECTRON2: {**detectron2.SMALL, **CLASSES, "image_size": (64, 96)},
    MATTERPORT: {**matterport.SMALL, **CLASSES, "image_size": (64, 96)},
}


def write_state_dict(path: Path, tensors: dict[str, np.ndarray]) -> Path:
    """Writes tensors as `torch.save` does."""
    content, storages = OrderedDict(), []
    for key, (name, values) in enumerate(tensors.items()):
        values = np.ascontiguousarray(values, np.float32)
        strides = tuple(stride // 4 for stride in values.strides)
        content[name] = Tensor(values.size, 0, values.shape, strides, key=str(key))
        storages.append(values.tobytes())
    return write_zip(path, content, storages)


def publish(monkeypatch, folder: Path, name: str) -> Path:
    """Puts a small checkpoint in the place of a preset's, at an address that can be reached.

    Keras's cache is then `folder / "cache"`.

    Returns:
        The published file.
    """
    arguments, detector = ARGUMENTS[name], PRESETS[name].detector
    path = folder / "web" / os.path.basename(detector.file.url)
    path.parent.mkdir()
    if name == TORCHVISION:
        write_state_dict(path, torchvision.state_dict(MaskRCNN(**arguments)))
    elif name == MATTERPORT:
        write_h5(path, matterport.tensors_of(MatterportMaskRCNN(**arguments)))
    else:
        tensors = detectron2.tensors_of(MaskRCNN("resnet50", **arguments))
        path.write_bytes(pickle.dumps({"model": tensors}, 2))
    digest = hashlib.new(detector.file.algorithm, path.read_bytes()).hexdigest()
    file = detector.file._replace(url=path.as_uri(), digest=digest[: len(detector.file.digest)])
    entry = PRESETS[name]._replace(arguments=arguments, detector=detector._replace(file=file))
    monkeypatch.setitem(PRESETS, name, entry)
    (folder / "cache").mkdir()
    in_folder = functools.partial(keras.utils.get_file, cache_dir=str(folder / "cache"))
    monkeypatch.setattr(keras.utils, "get_file", in_folder)
    return path
