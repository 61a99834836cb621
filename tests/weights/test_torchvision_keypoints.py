"""The joints of torchvision's Keypoint R-CNN from its own weights."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from mrcnn_tf import MaskRCNN
from mrcnn_tf.weights import TORCHVISION_ARGUMENTS
from tests.weights.seeded_detector import seeded_image
from tests.weights.test_torchvision_detection import (
    SCORES_BIAS,
    SMALL,
    deviation,
    import_tensors,
    state_dict,
)

GOLDEN = dict(np.load(Path(__file__).parent.parent / "golden/torchvision_keypoints.npz"))


@pytest.fixture(scope="module")
def tensors():
    options = {"num_classes": 1, "mask": False, "keypoints": 17}
    tensors = state_dict(MaskRCNN(**options, **TORCHVISION_ARGUMENTS))
    return {**tensors, SCORES_BIAS: GOLDEN["large.scores_bias"]}


@pytest.fixture(scope="module")
def model(tensors):
    # The seeded model was made without `COCO_V1`.
    return import_tensors(tensors, norm_epsilon=1e-5)


def test_every_tensor_has_its_place(tensors):
    counters = {name for name in GOLDEN["names"] if name.endswith("num_batches_tracked")}
    assert set(tensors) == set(GOLDEN["names"]) - counters


def test_heatmaps(model):
    boxes = tf.constant(GOLDEN["boxes"][None])
    pyramid = model.features(seeded_image(64, 96)[None], tf.constant([[64, 96]]))
    heatmaps = model.keypoint_head(model.keypoint_pooling(pyramid[:-1], boxes))
    assert heatmaps.shape == (1, len(GOLDEN["boxes"]), 56, 56, 17)
    assert deviation(heatmaps, GOLDEN["heatmaps"], step=185) <= 1e-4


def test_end_to_end(model):
    """Detections pair up, and of their joints 99 % within 0.01 px."""
    found = {name: np.asarray(v)[0] for name, v in model(seeded_image(248, 312)[None]).items()}
    count = int(found["num_detections"])
    boxes, scores, joints = (GOLDEN[f"large.{name}"] for name in ("boxes", "scores", "keypoints"))
    same = (np.abs(found["boxes"][:count, None] - boxes).max(axis=-1) <= 0.01) & (
        np.abs(found["scores"][:count, None] - scores) <= 1e-5
    )
    assert count == len(boxes) > 50 and same.any(axis=0).all()
    ours, theirs = np.nonzero(same)
    found = found["keypoints"][ours]
    moved = np.abs(found[..., :2] - joints[theirs][..., :2]).max(axis=-1)
    assert (moved <= 0.01).mean() >= 0.99
    logits = GOLDEN["large.keypoints_scores"][theirs]
    assert deviation(found[..., 2], logits) <= 1e-4


def test_architecture_follows_from_the_tensors():
    options = {"mask": False, "keypoints": 17, "keypoint_channels": 6, "keypoint_convs": 3}
    small = state_dict(MaskRCNN(num_classes=1, **{**SMALL, **options}))
    assert "roi_heads.keypoint_head.4.weight" in small
    found = import_tensors(small)
    assert {name: found.arguments[name] for name in options} == options
    assert found.class_names == ["person"] and found.category_ids == [1]
    assert found.keypoint_names[:2] == ["nose", "left_eye"] and len(found.keypoint_names) == 17
    limbs = [(found.keypoint_names[a], found.keypoint_names[b]) for a, b in found.keypoint_skeleton]
    assert ("left_shoulder", "left_elbow") in limbs and ("left_hip", "right_hip") in limbs
    assert found.keypoint_decoding.method == "torchvision" and found.backbone.epsilon == 0
    np.testing.assert_array_equal(
        found.keypoint_head.logits.kernel,
        small["roi_heads.keypoint_predictor.kps_score_lowres.weight"].transpose(2, 3, 1, 0),
    )
    other = MaskRCNN(num_classes=2, **{**SMALL, **options, "mask": True, "keypoints": 4})
    found = import_tensors(state_dict(other), keypoint_decoding="grid", class_names=["a", "b"])
    assert found.mask and found.keypoint_names[-1] == "keypoint 3"
    assert found.keypoint_decoding.method == "grid" and found.class_names == ["a", "b"]
