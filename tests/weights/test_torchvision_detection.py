"""The answers of torchvision's detectors from their own weights."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from mrcnn_tf import MaskRCNN
from mrcnn_tf.losses import select_class
from mrcnn_tf.weights import (
    TORCHVISION_ARGUMENTS,
    TORCHVISION_V2_ARGUMENTS,
    load_torchvision_weights,
    model_from_torchvision,
    torchvision_detection,
)
from mrcnn_tf.weights.torchvision_detection import torchvision_weights
from tests.weights.seeded_detector import seeded_detector_tensor, seeded_image

GOLDEN_FOLDER = Path(__file__).parent.parent / "golden"
SCORES_BIAS = "roi_heads.box_predictor.cls_score.bias"
LEVELS = range(2, 7)
# The convolutions of the v2 box head take seconds for the proposals of an image.
V2_IS_SLOW = pytest.mark.parametrize(
    "version", ["v1", pytest.param("v2", marks=pytest.mark.slow)], indirect=True, scope="module"
)
SIZES = {
    "backbone": "resnet18",
    "backbone_channels": 4,
    "fpn_channels": 8,
    "box_fc": (6, 5),
    "mask_channels": 7,
}
SMALL = {**TORCHVISION_ARGUMENTS, **SIZES}
SMALL_V2 = {**TORCHVISION_V2_ARGUMENTS, **SIZES, "box_conv": (9, 6), "box_fc": (5,)}


def state_dict(model: MaskRCNN) -> dict[str, np.ndarray]:
    """torchvision's state dict for a model of ours, in its shapes, seeded."""
    tensors = {}
    for name, (variable, axes, *rows) in torchvision_weights(model).items():
        first, *others = (variable.shape[axes.index(i)] for i in range(len(axes)))
        tensors[name] = seeded_detector_tensor(name, (first + sum(rows), *others))
        if name.endswith("running_var") and model.arguments["norm"] == "batch_norm":
            tensors[name.replace("running_var", "num_batches_tracked")] = np.array(0)
    return tensors


def import_tensors(tensors, **arguments) -> MaskRCNN:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torchvision_detection, "read_state_dict", lambda path: dict(tensors))
        return model_from_torchvision("some.pth", **arguments)


@pytest.fixture(scope="module", params=["v1", "v2"])
def version(request):
    """The answers of torchvision's model, and our arguments for it."""
    if request.param == "v1":
        # The seeded model was made without `COCO_V1`, whose epsilon is 0.
        file, arguments = "torchvision_detection", {**TORCHVISION_ARGUMENTS, "norm_epsilon": 1e-5}
    else:
        file, arguments = "torchvision_detection_v2", TORCHVISION_V2_ARGUMENTS
    return dict(np.load(GOLDEN_FOLDER / f"{file}.npz")), arguments


@pytest.fixture(scope="module")
def golden(version):
    return version[0]


@pytest.fixture(scope="module")
def tensors(version):
    golden, arguments = version
    model = MaskRCNN(num_classes=90, **arguments)
    return {**state_dict(model), SCORES_BIAS: golden["scores_bias"]}


@pytest.fixture(scope="module")
def model(version, tensors):
    return import_tensors(tensors, norm_epsilon=1e-5)


@pytest.fixture(scope="module")
def pyramid(model):
    """The features that every stage after them was made from, compared in `test_features`."""
    return model.features(seeded_image(64, 96)[None], tf.constant([[64, 96]]))


def deviation(values, expected, step: int = 1) -> float:
    """The largest difference, relative to the largest value, of every `step`-th value."""
    values = np.asarray(values)
    values = np.ravel(values)[::step] if step > 1 else values
    assert values.shape == expected.shape
    return float(np.abs(values - expected).max() / np.abs(expected).max())


def check_detections(found, golden, prefix: str, least: int) -> None:
    """99.5 % of the detections pair up: class, box within 0.01 px, score within 1e-5."""
    count = int(found["num_detections"][0])
    boxes, scores, classes = (
        np.asarray(found[n])[0, :count] for n in ("boxes", "scores", "classes")
    )
    expected = {name: golden[prefix + name] for name in ("boxes", "scores", "labels")}
    assert len(expected["scores"]) >= least and len(set(expected["labels"])) >= 5
    same = (
        (classes[:, None] + 1 == expected["labels"])
        & (np.abs(boxes[:, None] - expected["boxes"]).max(axis=-1) <= 0.01)
        & (np.abs(scores[:, None] - expected["scores"]) <= 1e-5)
    )
    assert same.any(axis=0).mean() >= 0.995 and same.any(axis=1).mean() >= 0.995
    if f"{prefix}masks" in golden:
        ours, theirs = np.nonzero(same)
        samples = np.asarray(found["masks"])[0, :count].reshape(count, -1)[:, ::28]
        masks = golden[f"{prefix}masks"].reshape(len(expected["scores"]), -1)
        assert np.abs(samples[ours] - masks[theirs]).max() <= 1e-4


def test_every_tensor_has_its_place(tensors, golden):
    # `BatchNorm2d` counts batches. v1 was made with it, and is imported as published, without.
    counters = {name for name in golden["names"] if name.endswith("num_batches_tracked")}
    assert set(tensors) | counters == set(golden["names"])


def test_features(pyramid, golden):
    for level, features in zip(LEVELS, pyramid, strict=True):
        assert deviation(features, golden[f"p{level}"], step=37) <= 1e-4


def test_rpn(model, pyramid, golden):
    logits, deltas = model.rpn(pyramid)
    for level, level_logits, level_deltas in zip(LEVELS, logits, deltas, strict=True):
        assert deviation(level_logits[0], golden[f"rpn_logits.p{level}"]) <= 1e-4
        assert deviation(level_deltas[0], golden[f"rpn_deltas.p{level}"]) <= 1e-4


def test_proposals(model, pyramid, golden):
    logits = [tf.constant(golden[f"rpn_logits.p{level}"])[None] for level in LEVELS]
    deltas = [tf.constant(golden[f"rpn_deltas.p{level}"])[None] for level in LEVELS]
    boxes, _, count = model.proposals(
        logits, deltas, model.anchors(pyramid), tf.constant([[64, 96]])
    )
    expected = golden["proposals"]
    assert int(count[0]) == len(expected) > 200
    assert deviation(boxes[0, : len(expected)], expected) <= 1e-4


def test_box_head(model, pyramid, golden):
    rows = tf.constant(golden["proposals"][None, : len(golden["class_logits"])])
    pooled = model.box_pooling(pyramid[:-1], rows)
    assert deviation(pooled, golden["box_features"], step=111) <= 1e-4
    logits, deltas = model.box_head(pooled)
    expected = np.roll(golden["class_logits"], -1, axis=1)
    assert deviation(logits[0], expected) <= 1e-4
    assert deviation(deltas[0], golden["box_deltas"].reshape(-1, 91, 4)[:, 1:]) <= 1e-4


def test_box_head_in_training(model, pyramid, golden):
    """The RoIs of an image and rows without one, which must not count in batch statistics."""
    rows = golden["proposals"][None, : len(golden["class_logits"])]
    padded = np.concatenate([rows, np.float32([[[0, 0, 90, 60]] * 5])], axis=1)
    is_valid = np.arange(padded.shape[1])[None] < rows.shape[1]
    weights = model.box_head.get_weights()
    logits, _ = model.box_head(model.box_pooling(pyramid[:-1], padded), is_valid, training=True)
    model.box_head.set_weights(weights)
    logits = np.roll(logits[0, : rows.shape[1]], 1, axis=1)
    assert deviation(logits, golden["training_logits"], step=7) <= 1e-4


def test_detections(model, golden):
    logits = np.roll(golden["class_logits"], -1, axis=1)[None]
    deltas = golden["box_deltas"].reshape(1, -1, 91, 4)[:, :, 1:]
    rows, count = golden["proposals"][None, : logits.shape[1]], [logits.shape[1]]
    found = model.detections(
        tf.constant(logits),
        tf.constant(deltas),
        tf.constant(rows),
        tf.constant(count),
        tf.constant([[64, 96]]),
    )
    expected = len(golden["rows_scores"])
    assert int(found["num_detections"][0]) == expected >= 5
    np.testing.assert_array_equal(found["classes"][0, :expected] + 1, golden["rows_labels"])
    assert deviation(found["boxes"][0, :expected], golden["rows_boxes"]) <= 1e-4
    assert deviation(found["scores"][0, :expected], golden["rows_scores"]) <= 1e-4


def test_mask_head(model, pyramid, golden):
    boxes, labels = golden["boxes"][None], golden["labels"][None]
    logits = model.mask_head(model.mask_pooling(pyramid[:-1], tf.constant(boxes)))
    # The background's mask, which has no counterpart here, is put where torchvision has it.
    values, expected = np.zeros([*logits.shape[1:-1], 91], np.float32), golden["mask_logits"]
    values[..., 1:] = logits[0]
    is_object = np.arange(values.size)[:: 37 * 28] % 91 > 0
    assert deviation(np.ravel(values)[:: 37 * 28][is_object], expected[is_object]) <= 1e-4
    masks = tf.sigmoid(select_class(logits, tf.constant(labels) - 1))
    assert deviation(masks, golden["masks"], step=28) <= 1e-4


def test_end_to_end(model, golden):
    check_detections(model(seeded_image(64, 96)[None]), golden, "", least=20)


@V2_IS_SLOW
def test_large_image_end_to_end(model, golden):
    bias = model.box_head.logits.bias
    before = bias.numpy()
    bias.assign(np.roll(golden["large.scores_bias"], -1))
    check_detections(model(seeded_image(248, 312)[None]), golden, "large.", least=20)
    bias.assign(before)


@V2_IS_SLOW
def test_faster_rcnn_end_to_end(tensors, golden):
    boxes_only = {name: value for name, value in tensors.items() if ".mask_" not in name}
    model = import_tensors(boxes_only, norm_epsilon=1e-5)
    assert not model.mask
    check_detections(model(seeded_image(64, 96)[None]), golden, "boxes_only.", least=20)


def small_tensors(arguments=SMALL, num_classes: int = 2) -> dict[str, np.ndarray]:
    return state_dict(MaskRCNN(num_classes=num_classes, **arguments))


@pytest.mark.parametrize("arguments", [SMALL, SMALL_V2], ids=["v1", "v2"])
def test_sizes_and_normalisation_follow_from_the_tensors(arguments):
    tensors = small_tensors(arguments)
    model = import_tensors(tensors, class_names=["bolt", "nut"])
    config = model.get_config()
    assert {name: config[name] for name in arguments} == arguments
    assert config["class_names"] == ["bolt", "nut"] and config["category_ids"] == [1, 2]
    assert config["mask_convs"] == 4
    assert (config["fpn_norm"] is None) == (arguments is SMALL)


def test_kinds_of_normalisation():
    tensors = small_tensors(SMALL_V2)
    uncounted = {name: value for name, value in tensors.items() if "num_batches" not in name}
    model = import_tensors(uncounted)
    assert model.arguments["head_norm"] == "frozen_batch_norm"
    assert model.backbone.epsilon == 1e-5
    grouped = small_tensors({**SMALL_V2, "fpn_channels": 32, "fpn_norm": "group_norm"})
    assert "backbone.fpn.inner_blocks.0.1.running_mean" not in grouped
    assert import_tensors(grouped).arguments["fpn_norm"] == "group_norm"


def test_backbone_and_classes_follow_from_the_tensors():
    counted = small_tensors() | {"backbone.body.bn1.num_batches_tracked": np.array(0)}
    assert import_tensors(counted).backbone.epsilon == 1e-5
    assert import_tensors(counted, norm_epsilon=1e-3).backbone.epsilon == 1e-3
    coco = small_tensors(num_classes=90)
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
    with pytest.raises(
        ValueError, match="some.pth is no Mask, Keypoint or Faster R-CNN.*cls_score"
    ):
        import_tensors({"conv1.weight": np.zeros([64, 3, 7, 7])})
    # A model of the other version has neither its layers nor its names.
    with pytest.MonkeyPatch.context() as patch:
        tensors = small_tensors(SMALL_V2)
        patch.setattr(torchvision_detection, "read_state_dict", lambda path: tensors)
        message = "missing: .*fc6.weight.*unexpected: .*inner_blocks.0.1.running_mean.*box_head.3"
        with pytest.raises(ValueError, match=message):
            load_torchvision_weights(MaskRCNN(num_classes=2, **SMALL), "some.pth")
    with pytest.raises(TypeError, match="EfficientNetLite0"):
        load_torchvision_weights(MaskRCNN("efficientnet_lite0", fpn_channels=8), "some.pth")
