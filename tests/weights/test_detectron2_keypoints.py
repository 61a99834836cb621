"""Detectron2's joints from the weights of its Keypoint R-CNN."""

import numpy as np
import pytest
from PIL import Image

from tests.weights.detectron2_case import (
    BOX_TOLERANCE,
    GOLDEN,
    PHOTOS,
    TOLERANCE,
    difference,
    pair_up,
    synthetic_image,
)


@pytest.fixture(scope="module")
def golden():
    return dict(np.load(GOLDEN / "detectron2_keypoint_rcnn.npz"))


@pytest.fixture(scope="module")
def x():
    """The synthetic image as Detectron2's test input has it."""
    image = Image.fromarray(synthetic_image(300, 400)).resize((341, 256), Image.BILINEAR)
    return {"images": np.asarray(image)[None], "image_sizes": np.int32([[256, 341]])}


def heatmaps_of(model, x, boxes) -> np.ndarray:
    """`[N, K, 56, 56]` for boxes `[N, 4]`."""
    pyramid = model.features(x["images"], x["image_sizes"])[:-1]
    heatmaps = model.keypoint_head(model.keypoint_pooling(pyramid, boxes[None]))
    return np.moveaxis(np.asarray(heatmaps)[0], -1, 1)


def check_joints(found: np.ndarray, expected: np.ndarray) -> None:
    """99 % of the joints at the same place: of two equal pixels either may be the best."""
    moved = np.abs(found - expected)[..., :2].max(axis=-1)
    assert (moved <= BOX_TOLERANCE).mean() >= 0.99
    assert np.abs(found - expected)[..., 2].max() <= TOLERANCE * expected[..., 2].max()


def check_detections(model, x, golden) -> None:
    found = {name: np.asarray(value)[0] for name, value in model(x).items()}
    count = found.pop("num_detections")
    expected = {name: golden[f"det.{name}"] for name in ("boxes", "classes", "scores")}
    assert count == len(expected["boxes"])
    found = {name: value[:count] for name, value in found.items()}
    rows, moved, changed = pair_up(found, expected)
    assert moved.max() <= BOX_TOLERANCE and changed.max() <= TOLERANCE
    check_joints(found["keypoints"][rows], golden["det.keypoints"])


def test_heatmaps(detectron2_keypoint_model, x, golden):
    heatmaps = heatmaps_of(detectron2_keypoint_model, x, golden["det.boxes"][:10])
    samples = heatmaps.reshape(-1)[:: int(golden["det.heatmaps.stride"])]
    expected = golden["det.heatmaps.sample"]
    assert np.abs(samples - expected[: len(samples)]).max() <= TOLERANCE * np.abs(expected).max()
    flat = heatmaps.reshape(10, 17, -1)
    assert (flat.argmax(axis=-1) == golden["det.heatmap_argmax"][:10]).mean() >= 0.99
    np.testing.assert_allclose(flat.max(axis=-1), golden["det.heatmap_max"][:10], rtol=TOLERANCE)


def test_detections(detectron2_keypoint_model, x, golden):
    check_detections(detectron2_keypoint_model, x, golden)


@pytest.mark.parametrize("index", range(3), ids=PHOTOS)
def test_detections_on_photos(detectron2_keypoint_model, photo, photo_golden, index):
    golden = np.load(photo_golden / f"d2_keypoint_rcnn.image{index}.npz")
    check_detections(detectron2_keypoint_model, photo(index), golden)


def test_boxes_at_every_edge(detectron2_keypoint_model, photo, photo_golden):
    """Boxes at the limits of levels, out of the image, empty, and slivers."""
    golden = dict(np.load(photo_golden / "d2_keypoint_rcnn.injected.npz"))
    model, boxes = detectron2_keypoint_model, golden["boxes"]
    heatmaps = heatmaps_of(model, photo(0), boxes)
    assert difference(heatmaps, golden, "keypoint_heatmaps") <= TOLERANCE
    logits = np.moveaxis(heatmaps, 1, -1)[None]
    check_joints(np.asarray(model.keypoint_decoding(logits, boxes[None]))[0], golden["keypoints"])
