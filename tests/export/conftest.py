import keras
import numpy as np
import pytest

from mrcnn_tf.export import read_portable, save_litert
from mrcnn_tf.models import MaskRCNN


def spread(layer, factor):
    # Features are positive, so without the mean every row would get the same class.
    kernel = layer.kernel.numpy()
    layer.kernel.assign((kernel - kernel.mean(axis=-2, keepdims=True)) * factor)


@pytest.fixture(scope="session")
def tiny_model():
    """A small model whose random weights give outputs that differ clearly."""
    keras.utils.set_random_seed(0)
    model = MaskRCNN(
        "resnet18",
        num_classes=3,
        class_names=["cell", "Zellkern", "細胞"],
        category_ids=[7, 1, 90],
        image_size=(96, 128),
        fpn_channels=32,
        anchor_sizes=(16, 32, 64, 96, 128),
        rpn_pre_nms_top_n=(64, 64),
        rpn_post_nms_top_n=(32, 32),
        box_fc=(64,),
        mask_channels=16,
        mask_convs=1,
        keypoints=3,
        keypoint_names=["pole", "equator", "nucleus"],
        keypoint_skeleton=[(0, 1), (1, 2)],
        keypoint_classes=[0, 2],
        keypoint_channels=16,
        keypoint_convs=1,
        score_threshold=0.3,
        max_detections=16,
    )
    for layer, factor in (
        (model.rpn.logits, 10.0),
        (model.rpn.deltas, 10.0),
        (model.box_head.logits, 30.0),
        (model.box_head.deltas, 300.0),
        (model.mask_head.logits, 300.0),
        (model.keypoint_head.logits, 10.0),
    ):
        spread(layer, factor)
    return model


def blocks(batch, height, width, seed=0):
    """Images of coloured 8 x 8 blocks, uint8."""
    shape = (batch, -(-height // 8), -(-width // 8), 3)
    colours = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    return colours.repeat(8, axis=1).repeat(8, axis=2)[:, :height, :width]


@pytest.fixture(scope="session")
def exported(tiny_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served") / "cells" / "1"

    def load(required=None):
        raise AssertionError("a part of the model was traced with compiled ops")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mrcnn_tf.ops.loader.load", load)
        tiny_model.export(folder, format="saved_model", verbose=False)
    return folder


@pytest.fixture(scope="session")
def large_portable(tiny_model):
    """The portable function on a canvas that is larger than the model's images."""
    return read_portable(tiny_model, (150, 200))


@pytest.fixture(scope="session")
def litert_file(exported, tmp_path_factory):
    """Made from the SavedModel, which is read faster than a model is traced."""
    path = tmp_path_factory.mktemp("litert") / "cells.tflite"
    save_litert(exported, path)
    return path
