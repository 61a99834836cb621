"""Matterport's answers from its weights, stage by stage and end to end."""

import numpy as np
import pytest

from tests.weights.detectron2_case import (
    BOX_TOLERANCE,
    GOLDEN,
    MASK_TOLERANCE,
    TOLERANCE,
    difference,
    pair_up,
)
from tests.weights.matterport_case import (
    SIDE,
    above,
    check_detections,
    check_masks,
    detect,
    golden_detections,
    in_pixels,
    stage_differences,
)

SIZE = (300, 400)  # of the original image


@pytest.fixture(scope="module")
def golden():
    return dict(np.load(GOLDEN / "matterport.npz"))


@pytest.fixture(scope="module")
def pyramid(matterport_model, golden):
    image = golden["image"]
    squares, _ = matterport_model.squares(image[None], np.int32([image.shape[:2]]))
    return matterport_model.features(squares, np.int32([[SIDE, SIDE]]))


def test_stages(matterport_model, golden):
    differences = stage_differences(matterport_model, golden["image"], golden)
    assert len(differences) == 12
    assert max(differences.values()) <= TOLERANCE, differences


def test_proposals(matterport_model, pyramid, golden, each_implementation):
    logits, deltas = matterport_model.rpn(pyramid)
    anchors = matterport_model.anchors(pyramid)
    boxes, _, count = matterport_model.proposals(logits, deltas, anchors, np.int32([[SIDE, SIDE]]))
    assert count[0] == 1000
    found, expected = (
        {"boxes": b, "classes": np.zeros(1000), "scores": np.zeros(1000)}
        for b in (boxes[0].numpy(), in_pixels(golden["proposals"]))
    )
    _, moved, _ = pair_up(found, expected)
    assert moved.max() <= BOX_TOLERANCE


def test_pooling_for_masks(matterport_model, pyramid, golden):
    boxes = np.zeros([1, 100, 4], np.float32)
    boxes[0, : len(golden["det_default"])] = in_pixels(golden["det_default"][:, :4])
    rows = len(golden["det_default"])
    # Matterport pools boxes of zeros in its rows of padding, which start at the first pixel.
    boxes[0, rows:] = [0, 0, 1, 1]
    pooled = matterport_model.mask_pooling(pyramid[:-1], boxes).numpy()
    assert difference(pooled, golden, "roi_align_mask") <= TOLERANCE


def test_detections(matterport_model, golden, monkeypatch, each_implementation):
    image = golden["image"]
    found = detect(matterport_model, image, monkeypatch)
    check_detections(above(0.7, found), golden_detections(golden, "default", image))
    rows = check_detections(found, golden_detections(golden, "low", image))
    assert difference(found["masks"][rows], golden, "mask_low") <= MASK_TOLERANCE
    check_masks(found, rows, golden, SIZE, image.shape[:2])
