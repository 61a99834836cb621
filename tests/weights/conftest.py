"""What the tests against Detectron2 and Matterport share."""

import os
import pickle
from pathlib import Path

import pytest

from tests.weights import matterport_case
from tests.weights.detectron2_case import seeded_weights


@pytest.fixture(scope="session")
def detectron2_model(tmp_path_factory):
    """`mask_rcnn_R_50_FPN` with the golden files' weights, out of a file of the zoo's form."""
    from mrcnn_tf.weights import model_from_detectron2

    path = tmp_path_factory.mktemp("detectron2") / "model_final.pkl"
    content = {"model": seeded_weights(), "__author__": "Detectron2 Model Zoo"}
    path.write_bytes(pickle.dumps(content, protocol=2))
    model = model_from_detectron2(path, image_size=(256, 427))
    path.unlink()
    return model


@pytest.fixture(scope="session")
def matterport_model(tmp_path_factory):
    """Matterport's model for COCO with ResNet-50 and the golden files' weights, out of a file."""
    from mrcnn_tf.weights import model_from_matterport

    path = tmp_path_factory.mktemp("matterport") / "mask_rcnn_coco.h5"
    matterport_case.write_h5(path, matterport_case.seeded_weights())
    model = model_from_matterport(path, image_size=(256, 256))
    path.unlink()
    return model


@pytest.fixture(scope="session")
def photo_golden() -> Path:
    """The folder of the whole golden files, those of photos included."""
    folder = os.environ.get("MRCNN_TF_GOLDEN")
    if not folder:
        pytest.skip("MRCNN_TF_GOLDEN, the folder with the golden files of photos, is not set")
    return Path(folder)
