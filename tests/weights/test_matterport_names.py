"""Which tensor of Matterport's goes where, and what is refused."""

import h5py
import numpy as np
import pytest
import tensorflow as tf

from mrcnn_tf import MaskRCNN
from mrcnn_tf.models import MatterportMaskRCNN
from mrcnn_tf.weights import (
    load_backbone_weights,
    load_matterport_weights,
    load_torchvision_weights,
    model_from_matterport,
)
from mrcnn_tf.weights.matterport import (
    matterport_arguments,
    matterport_weights,
    read_matterport_file,
)
from tests.weights.matterport_case import seeded_shapes, write_h5

SMALL = {
    "backbone": "resnet50",
    "num_classes": 3,
    "backbone_channels": 4,
    "fpn_channels": 8,
    "rpn_channels": 12,
    "box_fc": (16, 12),
    "mask_channels": 8,
}
EPSILON = 1e-3


def tensors_of(model: MatterportMaskRCNN) -> dict[str, np.ndarray]:
    """Made-up tensors in Matterport's layouts."""
    tensors = {}
    for seed, (name, shape) in enumerate(matterport_weights(model).shapes.items()):
        values = np.random.default_rng(seed).normal(0, 0.3, shape).astype(np.float32)
        tensors[f"{name}:0"] = np.abs(values) + 0.5 if "variance" in name else values
    return tensors


@pytest.fixture(scope="module")
def model():
    return MatterportMaskRCNN(**SMALL)


@pytest.fixture
def tensors(model):
    return tensors_of(model)


def test_names_are_those_of_matterport():
    names = {name.removesuffix(":0"): entry["shape"] for name, entry in seeded_shapes().items()}
    found = matterport_weights(MatterportMaskRCNN("resnet50")).shapes
    assert found == {name: tuple(shape) for name, shape in names.items()} and len(found) == 384
    boxes = matterport_weights(MatterportMaskRCNN(**{**SMALL, "mask": False})).shapes
    assert set(boxes) == {name for name in names if "mrcnn_mask" not in name}
    deeper = set(matterport_weights(MatterportMaskRCNN(**SMALL | {"backbone": "resnet101"})).shapes)
    added = {name for name in deeper if name not in names}
    assert deeper > set(names) and len(added) == 17 * 18
    assert "res4w_branch2c/kernel" in added and "res4x_branch2c/kernel" not in added


def test_the_classes_of_coco_are_known(tensors):
    plain = {name.removesuffix(":0"): tensor for name, tensor in tensors.items()}
    of_coco = {**plain, "mrcnn_class_logits/kernel": np.zeros([12, 81])}
    found = matterport_arguments(of_coco, "mask_rcnn_coco.h5")
    assert found["num_classes"] == len(found["class_names"]) == len(found["category_ids"]) == 80
    assert found["class_names"][0] == "person" and found["class_names"][-1] == "toothbrush"
    # COCO skips id 12, the street sign.
    assert found["category_ids"][10:12] == [11, 13] and found["category_ids"][-1] == 90
    assert "class_names" not in matterport_arguments(plain, "mask_rcnn_balloon.h5")


@pytest.mark.parametrize("group", ["/", "model_weights"])
def test_every_weight_is_loaded_and_the_architecture_is_read_off(model, tensors, tmp_path, group):
    path = write_h5(tmp_path / "mask_rcnn.h5", tensors, group)
    with h5py.File(path, "a") as file:
        file["optimizer_weights/iterations:0"] = 3.0 if group != "/" else tensors["conv1/bias:0"]
        if group == "/":
            del file["optimizer_weights"]
    found = model_from_matterport(path, class_names=["a", "b", "c"])
    for name, value in SMALL.items():
        assert found.arguments[name] == value, name
    assert found.mask and found.class_names == ["a", "b", "c"]
    for before, after in zip(model.get_weights(), found.get_weights(), strict=True):
        assert before.shape == after.shape and np.any(before != after)

    without_masks = {name: value for name, value in tensors.items() if "mrcnn_mask" not in name}
    assert not model_from_matterport(write_h5(path, without_masks, group)).mask
    # The second model that one process builds counts on, in its variables' names alone.
    renamed = {
        name
        if name.startswith("rpn")
        else f"{name.split('/')[0]}/{name.replace('/', '_1/')}": value
        for name, value in tensors.items()
    }
    again = model_from_matterport(write_h5(path, renamed, group))
    for first, second in zip(found.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)


def normalized(tensors, name: str, outputs: np.ndarray) -> np.ndarray:
    gamma, beta, mean, variance = (
        tensors[f"{name}/{weight}:0"]
        for weight in ("gamma", "beta", "moving_mean", "moving_variance")
    )
    return (outputs - mean) / np.sqrt(variance + EPSILON) * gamma + beta


def test_biases_and_normalisations_are_folded(model, tensors, tmp_path, rng):
    load_matterport_weights(model, write_h5(tmp_path / "a.h5", tensors))
    images = rng.normal(size=[1, 16, 16, 3]).astype(np.float32)
    outputs = tf.nn.conv2d(
        np.pad(images, [[0, 0], [3, 3], [3, 3], [0, 0]]), tensors["conv1/kernel:0"], 2, "VALID"
    )
    expected = normalized(tensors, "bn_conv1", outputs + tensors["conv1/bias:0"])
    np.testing.assert_allclose(model.backbone.stem(images), np.maximum(expected, 0), atol=1e-4)

    pooled = rng.normal(size=[5, 7, 7, 8]).astype(np.float32)
    outputs = tf.nn.conv2d(pooled, tensors["mrcnn_class_conv1/kernel:0"], 1, "VALID")
    outputs = outputs + tensors["mrcnn_class_conv1/bias:0"]
    expected = np.maximum(normalized(tensors, "mrcnn_class_bn1", outputs), 0)[:, 0, 0]
    found = model.box_head.hidden[0](pooled.reshape(5, -1))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)

    outputs = tf.nn.conv2d(pooled, tensors["mrcnn_mask_conv2/kernel:0"], 1, "SAME")
    outputs = outputs + tensors["mrcnn_mask_conv2/bias:0"]
    expected = np.maximum(normalized(tensors, "mrcnn_mask_bn2", outputs), 0)
    np.testing.assert_allclose(model.mask_head.convs[1](pooled), expected, rtol=1e-4, atol=1e-4)


def test_outputs_are_reordered(model, tensors, tmp_path):
    load_matterport_weights(model, write_h5(tmp_path / "a.h5", tensors))
    kernel, bias = (tensors[f"rpn_class_raw/{w}:0"] for w in ("kernel", "bias"))
    assert kernel.shape == (1, 1, 12, 6)
    # Of each of three anchors: background, object.
    np.testing.assert_allclose(model.rpn.logits.bias, bias[[1, 3, 5]] - bias[[0, 2, 4]], rtol=1e-5)
    difference = kernel[..., [1, 3, 5]] - kernel[..., [0, 2, 4]]
    np.testing.assert_allclose(model.rpn.logits.kernel, difference, rtol=1e-5, atol=1e-7)
    # Of the second anchor: y, x, height, width.
    y, x, height, width = tensors["rpn_bbox_pred/bias:0"][4:8]
    expected = [0.1 * x, 0.1 * y, 0.2 * width, 0.2 * height]
    np.testing.assert_allclose(model.rpn.deltas.bias[4:8], expected, rtol=1e-5)
    # Background comes first; what is behind it is of the first class.
    scores, deltas = (tensors[f"mrcnn_{name}/bias:0"] for name in ("class_logits", "bbox_fc"))
    np.testing.assert_array_equal(model.box_head.logits.bias, scores[[1, 2, 3, 0]])
    np.testing.assert_array_equal(model.box_head.deltas.bias[:4], deltas[[5, 4, 7, 6]])
    np.testing.assert_array_equal(
        model.mask_head.logits.kernel, tensors["mrcnn_mask/kernel:0"][..., 1:]
    )


def test_one_error_names_everything_and_nothing_is_loaded(model, tensors, tmp_path):
    del tensors["fpn_c3p3/bias:0"], tensors["bn4b_branch2a/moving_mean:0"]
    tensors["anchors/Variable:0"] = np.zeros(3)
    tensors["mrcnn_class_conv1/kernel:0"] = np.zeros([7, 7, 9, 16])
    tensors["mrcnn_bbox_fc/bias:0"] = np.zeros(15)
    before = model.get_weights()
    with pytest.raises(ValueError) as error:
        load_matterport_weights(model, write_h5(tmp_path / "a.h5", tensors))
    for part in (
        "a.h5 does not fit this model",
        "2 missing: bn4b_branch2a/moving_mean, fpn_c3p3/bias",
        "1 unexpected: anchors/Variable",
        "2 of another shape: mrcnn_class_conv1/kernel is (7, 7, 9, 16), not (7, 7, 8, 16)",
        "mrcnn_bbox_fc/bias is (15,), not (16,)",
    ):
        assert part in str(error.value)
    for first, second in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)


def test_other_files(model, tensors, tmp_path):
    path = tmp_path / "a.h5"
    with pytest.raises(FileNotFoundError, match=r"there is no file .*a\.h5"):
        model_from_matterport(path)
    write_h5(path, tensors)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], whole[:100], b"<html>404</html>"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"a\.h5 is no HDF5 file, or truncated or damaged"):
            model_from_matterport(path)
    # The ImageNet backbone that a training of Matterport's starts from.
    write_h5(path, {name: value for name, value in tensors.items() if name.startswith("res")})
    with pytest.raises(ValueError, match=r"is no Mask R-CNN of Matterport: it lacks mrcnn_class"):
        model_from_matterport(path)
    shallow = {n: v for n, v in tensors.items() if not n.startswith(("res4f", "bn4f"))}
    with pytest.raises(ValueError, match="has 5 blocks in stage 4"):
        model_from_matterport(write_h5(path, shallow))
    with pytest.raises(TypeError, match="need a MatterportMaskRCNN, not <MaskRCNN"):
        load_matterport_weights(MaskRCNN("resnet18", backbone_channels=4, fpn_channels=8), path)
    with pytest.raises(ValueError, match="built with norm='group_norm', which has none"):
        model_from_matterport(write_h5(path, tensors), norm="group_norm", backbone_channels=32)
    with pytest.raises(ValueError, match="2 missing: rpn_conv_shared1/kernel"):
        model_from_matterport(path, rpn_convs=2)
    for load in (load_backbone_weights, load_torchvision_weights):
        with pytest.raises(TypeError, match="MatterportResNet"):
            load(model, "weights.pth")
    assert set(read_matterport_file(write_h5(path, tensors))) == {n[:-2] for n in tensors}
