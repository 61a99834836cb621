"""Detectron2's answers from its weights, stage by stage and end to end."""

import numpy as np
import pytest
from PIL import Image

from tests.weights.detectron2_case import (
    BOX_TOLERANCE,
    GOLDEN,
    MASK_TOLERANCE,
    SCORE_TOLERANCE,
    TOLERANCE,
    difference,
    pair_up,
    synthetic_image,
)


@pytest.fixture(scope="module")
def golden():
    return dict(np.load(GOLDEN / "detectron2_mask_rcnn.npz"))


@pytest.fixture(scope="module")
def resized():
    """The image at the size, and by the interpolation, of Detectron2's test input."""
    return np.asarray(Image.fromarray(synthetic_image(300, 400)).resize((341, 256), Image.BILINEAR))


@pytest.fixture(scope="module")
def sizes():
    return np.int32([[256, 341]])


@pytest.fixture(scope="module")
def stages(detectron2_model, resized, sizes):
    """Backbone, pyramid and RPN; of the later stages each gets the golden output of the last."""
    normalized = detectron2_model.normalize(resized[None], sizes)
    features = detectron2_model.backbone(normalized)
    pyramid = detectron2_model.fpn(features)
    return {
        "input": normalized,
        "features": features,
        "pyramid": pyramid,
        "rpn": detectron2_model.rpn(pyramid),
    }


def channels_first(features) -> np.ndarray:
    return np.moveaxis(np.asarray(features), -1, 1)


def test_input(stages, golden):
    scaled = channels_first(stages["input"]) * np.float32([58.395, 57.12, 57.375])[:, None, None]
    assert difference(scaled[:, ::-1], golden, "input") <= TOLERANCE


def test_backbone_and_pyramid(stages, golden):
    for level, features in enumerate(stages["features"], start=2):
        assert difference(channels_first(features), golden, f"res{level}") <= TOLERANCE, level
    for level, features in enumerate(stages["pyramid"], start=2):
        assert difference(channels_first(features), golden, f"p{level}") <= TOLERANCE, level


def test_region_proposals(detectron2_model, stages, golden, sizes):
    logits, deltas = stages["rpn"]
    for level, features in enumerate(stages["pyramid"], start=2):
        for name, values in (("rpn_logits", logits), ("rpn_deltas", deltas)):
            grid = np.reshape(values[level - 2], [*features.shape[:3], -1])
            assert difference(channels_first(grid), golden, f"{name}.p{level}") <= TOLERANCE, level
    boxes, scores, count = detectron2_model.proposals(
        logits, deltas, detectron2_model.anchors(stages["pyramid"]), sizes
    )
    # Neighbours in rank that differ by 1e-5 in their logits may change places.
    assert count[0] == len(golden["proposals.boxes"]) == 1000
    expected = {"boxes": golden["proposals.boxes"], "scores": golden["proposals.logits"]}
    found = {"boxes": np.asarray(boxes[0]), "scores": np.asarray(scores[0])}
    no_classes = {"classes": np.zeros(1000)}
    _, moved, changed = pair_up(found | no_classes, expected | no_classes)
    assert moved.max() <= BOX_TOLERANCE
    assert changed.max() <= TOLERANCE * np.abs(expected["scores"]).max()


def test_box_head(detectron2_model, stages, golden):
    pooled = detectron2_model.box_pooling(stages["pyramid"][:-1], golden["proposals.boxes"][None])
    assert difference(channels_first(pooled[0]), golden, "box.pooled") <= TOLERANCE
    hidden = np.reshape(pooled, [1000, -1])
    for layer in detectron2_model.box_head.hidden:
        hidden = layer(hidden)
    assert difference(np.asarray(hidden), golden, "box.fc2") <= TOLERANCE
    logits, deltas = detectron2_model.box_head(pooled)
    assert difference(np.asarray(logits)[0], golden, "box.cls_logits") <= TOLERANCE
    deltas = np.reshape(deltas, [1000, -1])
    assert difference(deltas, golden, "box.deltas") <= TOLERANCE


def test_mask_head(detectron2_model, stages, golden):
    pooled = detectron2_model.mask_pooling(stages["pyramid"][:-1], golden["det.boxes"][None])
    logits = np.asarray(detectron2_model.mask_head(pooled))[0]  # [D, 28, 28, K]
    chosen = logits[np.arange(100), :, :, golden["det.classes"]]
    probabilities = 1 / (1 + np.exp(-chosen))
    assert difference(probabilities, golden, "det.mask_probs") <= MASK_TOLERANCE


def test_detections(detectron2_model, golden, resized, sizes, each_implementation):
    found = detectron2_model({"images": resized[None], "image_sizes": sizes})
    found = {name: np.asarray(value)[0] for name, value in found.items()}
    assert found["num_detections"] == len(golden["det.boxes"]) == 100
    expected = {name: golden[f"det.{name}"] for name in ("boxes", "classes", "scores")}
    rows, moved, changed = pair_up(found, expected)
    assert moved.max() <= BOX_TOLERANCE and changed.max() <= SCORE_TOLERANCE
    assert difference(found["masks"][rows], golden, "det.mask_probs") <= MASK_TOLERANCE
