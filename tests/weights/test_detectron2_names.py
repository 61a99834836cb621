"""Which tensor of Detectron2 goes where, and what is refused."""

import os
import pickle
import warnings
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from mrcnn_tf import MaskRCNN
from mrcnn_tf.boxes import cell_anchors
from mrcnn_tf.weights import (
    DETECTRON2_ARGUMENTS,
    load_detectron2_weights,
    model_from_detectron2,
)
from mrcnn_tf.weights.detectron2 import detectron2_arguments, detectron2_weights
from tests.weights.detectron2_case import seeded_shapes
from tests.weights.seeded_tensors import seeded_tensor
from tests.weights.test_torch_files import Tensor, write_zip

SMALL = {
    **DETECTRON2_ARGUMENTS,
    "num_classes": 3,
    "backbone_channels": 4,
    "fpn_channels": 8,
    "box_fc": (16, 12),
    "mask_channels": 8,
}
STEM = "backbone.bottom_up.stem.conv1.weight"
FC1 = "roi_heads.box_head.fc1.weight"


def tensors_of(model: MaskRCNN) -> dict[str, np.ndarray]:
    """Made-up tensors in Detectron2's layouts."""
    tensors = {}
    for name, (variable, axes) in detectron2_weights(model).items():
        shape = [variable.shape[axes.index(i)] for i in range(len(axes))]
        tensors[name] = seeded_tensor(name, tuple(shape))
    return tensors


def write(path, tensors):
    path.write_bytes(pickle.dumps({"model": tensors, "__author__": "somebody"}, 2))
    return path


@pytest.fixture(scope="module")
def model():
    return MaskRCNN("resnet50", **SMALL)


@pytest.fixture
def tensors(model):
    return tensors_of(model)


def test_names_are_those_of_detectron2(model):
    names = set(seeded_shapes())
    assert set(detectron2_weights(model)) == names and len(names) == 307
    boxes = MaskRCNN("resnet50", **{**SMALL, "mask": False})
    assert set(detectron2_weights(boxes)) == {name for name in names if "mask_head" not in name}
    deeper = set(detectron2_weights(MaskRCNN("resnet101", **SMALL)))
    blocks = [name for name in names if ".res4.5." in name]
    added = {name.replace(".5.", f".{block}.") for name in blocks for block in range(6, 23)}
    assert deeper == names | added and len(deeper) == 307 + 17 * 15


def test_names_of_normalised_heads():
    """Those of `mask_rcnn_R_50_FPN_3x_gn`, only narrower."""
    norms = dict.fromkeys(("norm", "fpn_norm", "head_norm"), "group_norm")
    sizes = {"backbone_channels": 32, "fpn_channels": 32, "mask_channels": 32}
    boxes = {"box_conv": (32, 32, 32, 32), "box_fc": (16,)}
    names = set(detectron2_weights(MaskRCNN("resnet50", **{**SMALL, **norms, **sizes, **boxes})))
    for layer in (
        "backbone.bottom_up.res2.0.conv1",
        "backbone.fpn_lateral2",
        "backbone.fpn_output5",
        "roi_heads.box_head.conv4",
        "roi_heads.mask_head.mask_fcn1",
    ):
        parts = {name.removeprefix(layer) for name in names if name.startswith(f"{layer}.")}
        assert parts == {".weight", ".norm.weight", ".norm.bias"}
    assert {"roi_heads.box_head.fc1.weight", "roi_heads.mask_head.deconv.bias"} < names


def test_a_keypoint_model_follows_from_its_tensors(tmp_path):
    options = {"mask": False, "keypoints": 17, "keypoint_channels": 6, "keypoint_convs": 3}
    model = MaskRCNN("resnet50", **{**SMALL, "num_classes": 1, **options})
    published = {name for name in seeded_shapes("keypoint") if ".conv_fcn" not in name}
    names = set(detectron2_weights(model))
    assert {name for name in names if ".conv_fcn" not in name} == published
    assert len(seeded_shapes("keypoint")) == len(published) + 2 * 8 == len(names) + 2 * 5
    tensors = tensors_of(model)
    found = model_from_detectron2(write(tmp_path / "model_final.pkl", tensors))
    for name, value in options.items():
        assert found.arguments[name] == value, name
    assert found.class_names == ["person"] and found.category_ids == [1]
    assert found.keypoint_names[::16] == ["nose", "right_ankle"]
    # The zoo's configuration of keypoints, and its way to read heatmaps.
    assert found.arguments["rpn_post_nms_top_n"] == (1500, 1000) and found.box_beta == 0.5
    assert found.keypoint_decoding.method == "detectron2" and found.rpn_beta == 0
    lowres = tensors["roi_heads.keypoint_head.score_lowres.weight"]
    np.testing.assert_array_equal(found.keypoint_head.logits.kernel, lowres.transpose(2, 3, 1, 0))
    grid = model_from_detectron2(tmp_path / "model_final.pkl", keypoint_decoding="grid")
    assert grid.keypoint_decoding.method == "grid"
    # Other numbers of joints, and both heads.
    both = MaskRCNN("resnet50", **{**SMALL, **options, "mask": True, "keypoints": 4})
    found = model_from_detectron2(write(tmp_path / "model_final.pkl", tensors_of(both)))
    assert found.mask and found.keypoints == 4 and found.keypoint_names[0] == "keypoint 0"


def test_the_classes_of_coco_are_known(tensors):
    scores = "roi_heads.box_predictor.cls_score.weight"
    found = detectron2_arguments({**tensors, scores: np.zeros([81, 12])}, "model_final.pkl")
    assert found["num_classes"] == len(found["class_names"]) == len(found["category_ids"]) == 80
    assert found["class_names"][0] == "person" and found["class_names"][-1] == "toothbrush"
    # COCO skips id 12, the street sign.
    assert found["category_ids"][10:12] == [11, 13] and found["category_ids"][-1] == 90
    assert "class_names" not in detectron2_arguments(tensors, "model_final.pkl")


def test_every_weight_is_loaded_and_the_architecture_is_read_off(model, tensors, tmp_path):
    path = write(tmp_path / "model_final.pkl", tensors)
    found = model_from_detectron2(path, class_names=["a", "b", "c"])
    for name, value in SMALL.items():
        assert found.arguments[name] == value, name
    assert found.arguments["backbone"] == "resnet50" and found.class_names == ["a", "b", "c"]
    assert found.mask and found.arguments["mask_convs"] == 4
    for before, after in zip(model.get_weights(), found.get_weights(), strict=True):
        assert before.shape == after.shape and np.any(before != after)

    bottom_up = "backbone.bottom_up.res4.0"
    block = next(b for b in found.backbone.blocks if b.name == "stage4_block1")
    assert [conv.strides for conv in block.convs] == [2, 1, 1]
    np.testing.assert_array_equal(
        block.shortcut.normalization.moving_variance,
        tensors[f"{bottom_up}.shortcut.norm.running_var"],
    )
    np.testing.assert_array_equal(
        found.mask_head.upsample.kernel,
        tensors["roi_heads.mask_head.deconv.weight"].transpose(2, 3, 1, 0),
    )
    # fc1 reads channel by channel there, and position by position here.
    pooled = np.random.default_rng(0).normal(size=[8, 7, 7]).astype(np.float32)
    ours = pooled.transpose(1, 2, 0).reshape(-1) @ np.asarray(found.box_head.hidden[0].kernel)
    np.testing.assert_allclose(ours, tensors[FC1] @ pooled.reshape(-1), rtol=1e-4, atol=1e-5)

    without_masks = {name: value for name, value in tensors.items() if "mask_head" not in name}
    assert not model_from_detectron2(write(path, without_masks)).mask


def test_pixels_are_bgr_and_their_deviation_is_taken_over(model, tensors, tmp_path):
    rgb = np.random.default_rng(0).uniform(0, 255, [1, 32, 32, 3]).astype(np.float32)
    mean = np.float32([103.53, 116.28, 123.675])
    for std in ([1.0, 1.0, 1.0], [57.375, 57.12, 58.395]):
        statistics = {
            "pixel_mean": mean.reshape(3, 1, 1),
            "pixel_std": np.float32(std).reshape(3, 1, 1),
            "backbone.bottom_up.stem.conv1.norm.num_batches_tracked": np.array(3),
        }
        given = tensors if std[0] == 1 else tensors | statistics
        load_detectron2_weights(model, write(tmp_path / "a.pkl", given))
        bgr = (rgb[..., ::-1] - mean) / np.float32(std)
        kernel = tensors[STEM].transpose(2, 3, 1, 0)
        expected = keras.ops.conv(bgr, kernel, 2, "same")
        ours = model.normalize(rgb, np.int32([[32, 32]]))
        ours = keras.ops.conv(ours, model.backbone.stem.kernel, 2, "same")
        np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
    with pytest.raises(ValueError, match=r"subtracts the mean pixel \[1.0, 2.0, 3.0\]"):
        other = tensors | {"pixel_mean": np.float32([1, 2, 3])}
        load_detectron2_weights(model, write(tmp_path / "a.pkl", other))


def test_one_error_names_everything_and_nothing_is_loaded(model, tensors, tmp_path):
    del tensors["backbone.fpn_lateral3.bias"], tensors["roi_heads.mask_head.predictor.weight"]
    tensors["roi_heads.keypoint_head.score_lowres.bias"] = np.zeros(17)
    tensors["roi_heads.box_predictor.cls_score.weight"] = np.zeros([81, 12])
    tensors[FC1] = np.zeros([16, 8 * 49 + 1])
    tensors[STEM] = np.zeros([4, 4, 7, 7])
    before = model.get_weights()
    with pytest.raises(ValueError) as error:
        load_detectron2_weights(model, write(tmp_path / "a.pkl", tensors))
    for part in (
        "a.pkl does not fit this model",
        "2 missing: backbone.fpn_lateral3.bias, roi_heads.mask_head.predictor.weight",
        "1 unexpected: roi_heads.keypoint_head.score_lowres.bias",
        f"3 of another shape: {STEM} is (4, 4, 7, 7), not (4, 3, 7, 7)",
        "roi_heads.box_head.fc1.weight is (16, 393), not (16, 392)",
        "roi_heads.box_predictor.cls_score.weight is (81, 12), not (4, 12)",
    ):
        assert part in str(error.value)
    for first, second in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)


def test_anchors_of_old_checkpoints_are_compared(model, tensors, tmp_path):
    prefix = "proposal_generator.anchor_generator.cell_anchors"
    sizes = (32, 64, 128, 256, 512)
    anchors = {
        f"{prefix}.{level}": cell_anchors(size, (0.5, 1.0, 2.0)) for level, size in enumerate(sizes)
    }
    load_detectron2_weights(model, write(tmp_path / "a.pkl", tensors | anchors))
    for name, value in ((f"{prefix}.1", anchors[f"{prefix}.0"]), (f"{prefix}.5", np.zeros([3, 4]))):
        with pytest.raises(ValueError, match=f"other anchors: {name}"):
            load_detectron2_weights(model, write(tmp_path / "a.pkl", tensors | {name: value}))


def test_checkpoints_of_a_training(model, tensors, tmp_path):
    """What Detectron2's trainer saves with PyTorch: weights among other things."""
    described = {
        name: Tensor(
            tensor.size,
            0,
            tensor.shape,
            tuple(stride // 4 for stride in tensor.strides),
            key=str(key),
        )
        for key, (name, tensor) in enumerate(tensors.items())
    }
    storages = [tensor.tobytes() for tensor in tensors.values()]
    content = {"model": described, "iteration": 90000}
    path = write_zip(tmp_path / "model_0089999.pth", content, storages)
    load_detectron2_weights(model, path)
    np.testing.assert_array_equal(
        model.rpn.logits.bias, tensors["proposal_generator.rpn_head.objectness_logits.bias"]
    )


def test_another_stride_or_sampling_than_the_zoo_is_told(model, tensors, tmp_path):
    path = write(tmp_path / "a.pkl", tensors)
    other = MaskRCNN("resnet50", **{**SMALL, "stride_in_1x1": False, "sampling_ratio": 2})
    with pytest.warns(UserWarning, match="stride_in_1x1=False instead of True, sampling_ratio=2"):
        load_detectron2_weights(other, path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_detectron2_weights(model, path)
        model_from_detectron2(path, stride_in_1x1=False)  # said on purpose


class Command:
    """Pickles as a call of `os.system`."""

    def __reduce__(self):
        return os.system, ("mkdir ran",)


def test_files_with_code_are_refused_and_not_run(tensors, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = {"model": {**tensors, "extra": Command()}}
    pickled = tmp_path / "model.pkl"
    pickled.write_bytes(pickle.dumps(content, 2))
    zipped = write_zip(tmp_path / "model.pth", {"model": {"extra": Command()}})
    for path in (pickled, zipped):
        with pytest.raises(ValueError, match=f"{path} .*refers to {os.system.__module__}.system"):
            model_from_detectron2(path)
        assert not (tmp_path / "ran").exists()


def test_other_files(model, tensors, tmp_path):
    path = tmp_path / "a.pkl"
    with pytest.raises(FileNotFoundError):
        model_from_detectron2(path)
    write(path, tensors)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ValueError, match="truncated or damaged"):
        model_from_detectron2(path)
    # The ImageNet backbone that a training of Detectron2 starts from.
    write(path, {"conv1_w": np.zeros([64, 3, 7, 7], np.float32)})
    with pytest.raises(
        ValueError, match="no Mask, Keypoint or Faster R-CNN of Detectron2.*lacks .*fc1"
    ):
        model_from_detectron2(path)
    path.write_bytes(pickle.dumps({"model": {"weight": 3}}, 2))
    with pytest.raises(ValueError, match="not a dictionary of tensors: weight"):
        model_from_detectron2(path)
    with pytest.raises(TypeError, match="a model with a ResNet"):
        load_detectron2_weights(SimpleNamespace(backbone=None), path)
