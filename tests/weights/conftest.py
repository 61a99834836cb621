"""What the tests against Detectron2 and Matterport share."""

import hashlib
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.weights import matterport_case
from tests.weights.detectron2_case import PHOTOS, seeded_weights


@pytest.fixture(scope="session")
def detectron2_model(tmp_path_factory):
    """`mask_rcnn_R_50_FPN` with the golden files' weights, out of a file of the zoo's form."""
    return model_of(tmp_path_factory, "mask")


@pytest.fixture(scope="session")
def detectron2_keypoint_model(tmp_path_factory):
    """`keypoint_rcnn_R_50_FPN`, the same way."""
    return model_of(tmp_path_factory, "keypoint")


def model_of(tmp_path_factory, kind: str):
    from mrcnn_tf.weights import model_from_detectron2

    path = tmp_path_factory.mktemp("detectron2") / "model_final.pkl"
    content = {"model": seeded_weights(kind), "__author__": "Detectron2 Model Zoo"}
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


@pytest.fixture
def photo(data_folder, photo_golden):
    """Reads a photo as the model's input, at the very pixels of the golden files."""
    meta = json.loads((photo_golden / "d2_mask_rcnn.meta.json").read_text())

    def read(index: int) -> dict[str, np.ndarray]:
        height, width = meta["images"][index]["resized_hw"]
        path = data_folder / "coco128" / "train2017" / PHOTOS[index]
        image = Image.open(path).convert("RGB").resize((width, height), Image.BILINEAR)
        image = np.asarray(image)
        pixels = np.ascontiguousarray(image[..., ::-1]).tobytes()
        assert (
            hashlib.sha256(pixels).hexdigest() == meta["images"][index]["resized_bgr_u8_hwc_sha256"]
        )
        return {"images": image[None], "image_sizes": np.int32([[height, width]])}

    return read
