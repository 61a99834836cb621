"""The answers of torchvision's detectors from their own weights."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from mrcnn_tf import MaskRCNN
from mrcnn_tf.losses import select_class
from mrcnn_tf.weights import (
    TORCHVISION_ARGUMENTS,
    load_torchvision_weights,
    model_from_torchvision,
    torchvision_detection,
)
from mrcnn_tf.weights.torchvision_detection import torchvision_weights
from tests.weights.seeded_detector import seeded_detector_tensor, seeded_image

GOLDEN = dict(np.load(Path(__file__).parent.parent / "golden/torchvision_detection.npz"))
SCORES_BIAS = "roi_heads.box_predictor.cls_score.bias"
LEVELS = range(2, 7)
SMALL = {
    "backbone": "resnet18",
    "backbone_channels": 4,
    "fpn_channels": 8,
    "box_fc": (6, 5),
    "mask_channels": 7,
    **TORCHVISION_ARGUMENTS,
}


def state_dict(model: MaskRCNN) -> dict[str, np.ndarray]:
    """torchvision's state dict for a model of ours, in its shapes, seeded."""
    tensors = {}
    for name, (variable, axes, *rows) in torchvision_weights(model).items():
        first, *others = (variable.shape[axes.index(i)] for i in range(len(axes)))
        tensors[name] = seeded_detector_tensor(name, (first + sum(rows), *others))
    return tensors


def import_tensors(tensors, **arguments) -> MaskRCNN:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torchvision_detection, "read_state_dict", lambda path: dict(tensors))
        return model_from_torchvision("some.pth", **arguments)


@pytest.fixture(scope="module")
def tensors():
    model = MaskRCNN(num_classes=90, **TORCHVISION_ARGUMENTS)
    return {**state_dict(model), SCORES_BIAS: GOLDEN["scores_bias"]}


@pytest.fixture(scope="module")
def model(tensors):
    # The seeded model was made without `COCO_V1`.
    return import_tensors(tensors, norm_epsilon=1e-5)


def deviation(values, expected) -> float:
    values = np.asarray(values)
    assert values.shape == expected.shape
    return float(np.abs(values - expected).max() / np.abs(expected).max())


def golden_pyramid() -> list[tf.Tensor]:
    return [tf.constant(GOLDEN[f"p{level}"]) for level in LEVELS]


def check_detections(found, prefix: str, least: int) -> None:
    """99.5 % of the detections pair up: class, box within 0.01 px, score within 1e-5."""
    count = int(found["num_detections"][0])
    boxes, scores, classes = (
        np.asarray(found[n])[0, :count] for n in ("boxes", "scores", "classes")
    )
    expected = {name: GOLDEN[prefix + name] for name in ("boxes", "scores", "labels")}
    assert len(expected["scores"]) >= least and len(set(expected["labels"])) >= 5
    same = (
        (classes[:, None] + 1 == expected["labels"])
        & (np.abs(boxes[:, None] - expected["boxes"]).max(axis=-1) <= 0.01)
        & (np.abs(scores[:, None] - expected["scores"]) <= 1e-5)
    )
    assert same.any(axis=0).mean() >= 0.995 and same.any(axis=1).mean() >= 0.995
    if f"{prefix}masks" in GOLDEN:
        ours, theirs = np.nonzero(same)
        samples = np.asarray(found["masks"])[0, :count].reshape(count, -1)[:, ::7]
        masks = GOLDEN[f"{prefix}masks"].reshape(len(expected["scores"]), -1)
        assert np.abs(samples[ours] - masks[theirs]).max() <= 1e-4


def test_every_tensor_has_its_place(tensors):
    counters = {name for name in GOLDEN["names"] if name.endswith("num_batches_tracked")}
    assert set(tensors) == set(GOLDEN["names"]) - counters


def test_features(model):
    image = seeded_image(64, 96)[None]
    pyramid = model.features(image, tf.constant([[64, 96]]))
    for features, expected in zip(pyramid, golden_pyramid(), strict=True):
        assert deviation(features, expected) <= 1e-4


def test_rpn(model):
    logits, deltas = model.rpn(golden_pyramid())
    for level, level_logits, level_deltas in zip(LEVELS, logits, deltas, strict=True):
        assert deviation(level_logits[0], GOLDEN[f"rpn_logits.p{level}"]) <= 1e-4
        assert deviation(level_deltas[0], GOLDEN[f"rpn_deltas.p{level}"]) <= 1e-4


def test_proposals(model):
    logits = [tf.constant(GOLDEN[f"rpn_logits.p{level}"])[None] for level in LEVELS]
    deltas = [tf.constant(GOLDEN[f"rpn_deltas.p{level}"])[None] for level in LEVELS]
    anchors = model.anchors(golden_pyramid())
    boxes, _, count = model.proposals(logits, deltas, anchors, tf.constant([[64, 96]]))
    expected = GOLDEN["proposals"]
    assert int(count[0]) == len(expected) > 200
    assert deviation(boxes[0, : len(expected)], expected) <= 1e-4


def test_box_head(model):
    rows = tf.constant(GOLDEN["proposals"][None, : len(GOLDEN["class_logits"])])
    pooled = model.box_pooling(golden_pyramid()[:-1], rows)
    assert deviation(np.ravel(pooled)[::37], GOLDEN["box_features"]) <= 1e-4
    logits, deltas = model.box_head(pooled)
    expected = np.roll(GOLDEN["class_logits"], -1, axis=1)
    assert deviation(logits[0], expected) <= 1e-4
    assert deviation(deltas[0], GOLDEN["box_deltas"].reshape(-1, 91, 4)[:, 1:]) <= 1e-4


def test_detections(model):
    logits = np.roll(GOLDEN["class_logits"], -1, axis=1)[None]
    deltas = GOLDEN["box_deltas"].reshape(1, -1, 91, 4)[:, :, 1:]
    rows, count = GOLDEN["proposals"][None, : logits.shape[1]], [logits.shape[1]]
    found = model.detections(
        tf.constant(logits),
        tf.constant(deltas),
        tf.constant(rows),
        tf.constant(count),
        tf.constant([[64, 96]]),
    )
    expected = len(GOLDEN["rows_scores"])
    assert int(found["num_detections"][0]) == expected >= 5
    np.testing.assert_array_equal(found["classes"][0, :expected] + 1, GOLDEN["rows_labels"])
    assert deviation(found["boxes"][0, :expected], GOLDEN["rows_boxes"]) <= 1e-4
    assert deviation(found["scores"][0, :expected], GOLDEN["rows_scores"]) <= 1e-4


def test_mask_head(model):
    boxes, labels = GOLDEN["boxes"][None], GOLDEN["labels"][None]
    logits = model.mask_head(model.mask_pooling(golden_pyramid()[:-1], tf.constant(boxes)))
    # The background's mask, which has no counterpart here, is put where torchvision has it.
    values, expected = np.zeros([*logits.shape[1:-1], 91], np.float32), GOLDEN["mask_logits"]
    values[..., 1:] = logits[0]
    is_object = np.arange(values.size)[:: 37 * 7] % 91 > 0
    assert deviation(np.ravel(values)[:: 37 * 7][is_object], expected[is_object]) <= 1e-4
    masks = tf.sigmoid(select_class(logits, tf.constant(labels) - 1))
    assert deviation(np.ravel(masks)[::7], GOLDEN["masks"]) <= 1e-4


def test_end_to_end(model, tensors):
    check_detections(model(seeded_image(64, 96)[None]), "", least=20)
    large = import_tensors({**tensors, SCORES_BIAS: GOLDEN["large.scores_bias"]}, norm_epsilon=1e-5)
    check_detections(large(seeded_image(248, 312)[None]), "large.", least=20)


def test_faster_rcnn_end_to_end(tensors):
    boxes_only = {name: value for name, value in tensors.items() if ".mask_" not in name}
    model = import_tensors(boxes_only, norm_epsilon=1e-5)
    assert not model.mask
    check_detections(model(seeded_image(64, 96)[None]), "boxes_only.", least=20)


def small_tensors() -> dict[str, np.ndarray]:
    return state_dict(MaskRCNN(num_classes=2, **SMALL))


def test_architecture_follows_from_the_tensors(tensors):
    model = import_tensors(small_tensors(), class_names=["bolt", "nut"])
    config = model.get_config()
    assert {name: config[name] for name in SMALL} == SMALL
    assert config["class_names"] == ["bolt", "nut"] and config["category_ids"] == [1, 2]
    assert config["norm_epsilon"] == 0
    counted = small_tensors() | {"backbone.body.bn1.num_batches_tracked": np.array(0)}
    assert import_tensors(counted).backbone.epsilon == 1e-5
    assert import_tensors(counted, norm_epsilon=1e-3).backbone.epsilon == 1e-3
    coco = {name: value[:1] for name, value in tensors.items() if "layer" not in name}
    coco |= {name: tensors[name] for name in tensors if "cls_score" in name}
    coco |= {f"backbone.body.layer{i}.{j}.conv3.weight": np.zeros(1) for i, j in ((1, 0), (3, 22))}
    coco["backbone.body.layer3.6.conv1.weight"] = np.zeros(1)
    arguments = torchvision_detection._arguments(coco, "some.pth")
    assert arguments["backbone"] == "resnet101" and arguments["num_classes"] == 90
    names = arguments["class_names"]
    # torchvision's list: ids 1 and 90, and one that COCO never used.
    assert (names[0], names[89], names[11], names.count("N/A")) == (
        "person",
        "toothbrush",
        "N/A",
        10,
    )


def test_names_of_the_published_files():
    tensors = small_tensors()
    old = {}
    for name, value in tensors.items():
        if name.startswith("roi_heads.mask_head."):
            index = int(name.split(".")[2])
            name = f"roi_heads.mask_head.mask_fcn{index + 1}.{name.split('.')[-1]}"
        elif name.startswith("backbone.fpn."):
            name = name.replace(".0.weight", ".weight").replace(".0.bias", ".bias")
        elif name.startswith("rpn.head.conv."):
            name = name.replace("conv.0.0", "conv")
        old[name] = value
    assert {"backbone.fpn.inner_blocks.3.weight", "rpn.head.conv.bias"} < set(old)
    assert len(set(old) - set(tensors)) == 16 + 2 + 8
    new, again = import_tensors(tensors), import_tensors(old)
    for ours, theirs in zip(new.weights, again.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_one_error_names_everything_and_nothing_is_loaded():
    model = MaskRCNN(num_classes=2, **SMALL)
    before = model.get_weights()
    tensors = state_dict(model)
    del tensors["rpn.head.cls_logits.bias"], tensors["backbone.body.layer2.0.bn1.running_var"]
    tensors["roi_heads.keypoint_head.0.weight"] = np.zeros(1)
    tensors["backbone.body.bn1.num_batches_tracked"] = np.array(3)
    for name in ("box_predictor.bbox_pred", "mask_predictor.mask_fcn_logits", "box_head.fc6"):
        tensors[f"roi_heads.{name}.weight"] = np.zeros([8, 5], np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torchvision_detection, "read_state_dict", lambda path: tensors)
        with pytest.raises(ValueError) as error:
            load_torchvision_weights(model, "some.pth")
    for part in (
        "some.pth does not fit this model",
        "2 missing: backbone.body.layer2.0.bn1.running_var, rpn.head.cls_logits.bias",
        "1 unexpected: roi_heads.keypoint_head.0.weight",
        "3 of another shape: roi_heads.box_head.fc6.weight is (8, 5), not (6, 392)",
        "roi_heads.box_predictor.bbox_pred.weight is (8, 5), not (12, 5)",
        "roi_heads.mask_predictor.mask_fcn_logits.weight is (8, 5), not (3, 7, 1, 1)",
    ):
        assert part in str(error.value)
    for first, second in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)


def test_other_networks_are_named():
    with pytest.raises(ValueError, match="some.pth is no Mask or Faster R-CNN.*cls_score"):
        import_tensors({"conv1.weight": np.zeros([64, 3, 7, 7])})
    second = {"roi_heads.box_head.5.weight": np.zeros([1, 1])}
    with pytest.raises(ValueError, match="_v2 detector"):
        import_tensors(small_tensors() | second)
    with pytest.raises(TypeError, match="EfficientNetLite0"):
        load_torchvision_weights(MaskRCNN("efficientnet_lite0", fpn_channels=8), "some.pth")
