"""Matterport's answers on photos of COCO."""

import hashlib
import json

import numpy as np
import pytest
from PIL import Image

from tests.weights.detectron2_case import MASK_TOLERANCE, TOLERANCE
from tests.weights.matterport_case import (
    SIDE,
    above,
    check_detections,
    check_masks,
    detect,
    golden_detections,
    stage_differences,
)

PHOTOS = ["000000000196.jpg", "000000000113.jpg"]
# What scikit-image 0.18 estimates, by least squares, of x and y: pixels of the photo per pixel of
# the result, and where its first one is. Values that would be whole numbers hang on the last digit.
TRANSFORMS = [
    ((2.500000000000001, 0.7499999999997442), (2.4999999999999987, 0.7500000000001705)),
    ((2.5060240963855422, 0.7530120481927156), (2.5000000000000004, 0.7499999999999432)),
]


def resized_by_scikit_image(image: np.ndarray, size: tuple[int, int], index: int) -> np.ndarray:
    """Bilinear interpolation, cut off to whole numbers, at the very pixels of the golden file."""
    (x, first_x), (y, first_y) = TRANSFORMS[index]
    columns, rows = (
        step * np.arange(n) + first
        for step, first, n in ((x, first_x, size[1]), (y, first_y, size[0]))
    )
    left, top = np.floor(columns).astype(int), np.floor(rows).astype(int)
    across, down = (columns - left)[:, None], (rows - top)[:, None, None]
    framed = np.pad(image.astype(float), [[0, 1], [0, 1], [0, 0]])
    upper, lower = (
        (1 - across) * framed[i][:, left] + across * framed[i][:, left + 1] for i in (top, top + 1)
    )
    return ((1 - down) * upper + down * lower).astype(np.uint8)


@pytest.fixture(scope="module")
def meta(photo_golden):
    return json.loads((photo_golden / "matterport.meta.json").read_text())


@pytest.fixture(params=range(2), ids=PHOTOS)
def photo(request, data_folder, photo_golden, meta):
    """A photo, the same at the size of Matterport's input, and its golden file."""
    index, info = request.param, meta["images"][request.param]
    original = Image.open(data_folder / "coco128" / "train2017" / PHOTOS[index]).convert("RGB")
    original = np.asarray(original)
    top, left, bottom, right = info["window_yxyx"]
    image = resized_by_scikit_image(original, (bottom - top, right - left), index)
    square = np.zeros([1, SIDE, SIDE, 3], np.float32)
    square[0, top:bottom, left:right] = image
    pixels = np.float32(square - np.array(meta["config"]["MEAN_PIXEL"]))
    assert hashlib.sha256(pixels.tobytes()).hexdigest() == info["input_nhwc_f32_sha256"]
    return original, image, dict(np.load(photo_golden / f"matterport.image{index}.npz"))


def test_stages(matterport_model, photo):
    _, image, golden = photo
    differences = stage_differences(matterport_model, image, golden)
    # The deltas of the second photo are float16 in the file.
    if golden["mrcnn_bbox"].dtype == np.float16:
        assert differences.pop("mrcnn_bbox") <= 5e-4
    assert max(differences.values()) <= TOLERANCE, differences


def test_detections(matterport_model, photo, monkeypatch):
    original, image, golden = photo
    found = detect(matterport_model, image, monkeypatch)
    check_detections(above(0.7, found), golden_detections(golden, "default", image))
    rows = check_detections(found, golden_detections(golden, "low", image))
    assert np.abs(found["masks"][rows] - golden["mask_low"]).max() <= MASK_TOLERANCE
    check_masks(found, rows, golden, original.shape[:2], image.shape[:2])
