"""Normalisation as a choice for backbone, pyramid and heads."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import mrcnn_tf
from mrcnn_tf import MaskRCNN
from mrcnn_tf.losses import Samples
from tests.models.tiny import check_detections, tiny_batch, tiny_model

# As torchvision's v2 models, only smaller.
OPTIONS = {
    "norm": "batch_norm",
    "fpn_norm": "batch_norm",
    "head_norm": "batch_norm",
    "rpn_convs": 2,
    "box_conv": (16, 8),
    "mask_convs": 2,
}
NORMALIZED = ("fpn", "box_head", "mask_head")


@pytest.fixture(scope="module")
def batch():
    return tiny_batch()


@pytest.fixture
def model():
    return tiny_model(**OPTIONS)


def arrays(outputs):
    return {name: np.asarray(value) for name, value in outputs.items()}


def statistics(model) -> dict[str, np.ndarray]:
    return {w.path: w.numpy() for w in model.weights if "/norm/moving_" in w.path}


def changed(model, before) -> set[str]:
    """The parts of the model whose moving statistics are other than before."""
    after = statistics(model)
    return {path.split("/")[0] for path in before if np.any(after[path] != before[path])}


def test_paths_of_the_weights(model):
    paths = {weight.path for weight in model.weights}
    assert len(paths) == len(model.weights)
    assert {
        "fpn/lateral2/norm/gamma",
        "fpn/output5/norm/moving_variance",
        "box_head/conv2/norm/beta",
        "mask_head/conv1/norm/moving_mean",
    } < paths
    assert not any(path.startswith("fpn/") and path.endswith("/bias") for path in paths)


def test_statistics_move_with_the_losses_of_training_alone(model, batch):
    x, y = batch
    before = statistics(model)
    check_detections(arrays(model(x)), [(64, 96)] * 2)
    model.compute_losses(x, y, training=False)
    assert not changed(model, before)
    model(x, training=True)
    assert changed(model, before) == {"resnet18", "fpn"}
    model.compute_losses(x, y)
    assert changed(model, before) == {"resnet18", *NORMALIZED}


def test_heads_learn_the_statistics_of_the_sampled_rois(model, batch):
    """One RoI of each image, whatever stands in the other rows."""
    x, y = batch
    other = tf.tile(tf.constant([[[3.0, 5.0, 60.0, 40.0]]]), [2, 1, 1])
    found = []
    for proposals in (tf.zeros([2, 1, 4]), other):
        fresh = tiny_model(**OPTIONS)
        # Rows of `proposals` and the objects behind them.
        is_first = tf.constant([[True] + [False] * 7] * 2)
        chosen = Samples(tf.constant([[1] + [0] * 7] * 2), is_first, is_first)
        fresh.compute_losses(x, y, samples={"proposals": proposals, "rois": chosen})
        found.append(statistics(fresh))
    for path, values in found[0].items():
        if path.startswith(("box_head", "mask_head")):
            np.testing.assert_array_equal(values, found[1][path], err_msg=path)


def test_a_batch_without_objects_leaves_the_mask_head_alone(model, batch):
    x, y = batch
    y = {**y, "classes": -tf.ones_like(y["classes"]), "boxes": tf.zeros_like(y["boxes"])}
    before = statistics(model)
    with tf.GradientTape() as tape:
        losses = model.compute_losses(x, y)
        total = model.total_loss(losses)
    assert float(losses["mask_loss"]) == 0 and np.isfinite(total)
    assert changed(model, before) == {"resnet18", "fpn", "box_head"}
    gradients = tape.gradient(total, [weight.value for weight in model.trainable_weights])
    assert all(np.all(np.isfinite(g)) for g in gradients if g is not None)


@pytest.mark.parametrize(
    "kind, policy", [("batch_norm", "mixed_bfloat16"), ("group_norm", "float32")]
)
def test_training_reaches_every_norm(kind, policy, batch):
    x, y = batch
    options = {**OPTIONS, "fpn_norm": kind, "head_norm": kind, "norm": "frozen_batch_norm"}
    sizes = {"box_conv": (32, 32), "mask_channels": 32, "dtype": policy}
    model = tiny_model(**{**options, **sizes})
    model.compile(optimizer=keras.optimizers.SGD(1e-2))
    norms = [w for w in model.trainable_weights if "/norm/" in w.path]
    assert {w.path.split("/")[0] for w in norms} == set(NORMALIZED)
    assert all(weight.dtype == "float32" for weight in norms)
    before = [weight.numpy() for weight in norms]
    losses = [float(model.train_step((x, y))["loss"]) for _ in range(4)]
    assert np.isfinite(losses).all()
    for weight, old in zip(norms, before, strict=True):
        assert np.any(weight.numpy() != old), weight.path
    check_detections(arrays(model(x)), [(64, 96)] * 2)


def test_saved_and_loaded(model, batch, tmp_path):
    x, y = batch
    model.compute_losses(x, y)
    model.save(tmp_path / "model.keras")
    loaded = mrcnn_tf.load(tmp_path / "model.keras")
    assert loaded.get_config()["fpn_norm"] == "batch_norm"
    assert loaded.box_head.conv_channels == (16, 8) and loaded.mask_head.norm == "batch_norm"
    for name, value in arrays(model(x)).items():
        np.testing.assert_array_equal(loaded(x)[name], value, err_msg=name)


def test_bad_arguments():
    with pytest.raises(ValueError, match="head_norm='batch_norm' has no convolution to follow"):
        MaskRCNN("resnet18", mask=False, head_norm="batch_norm")
    with pytest.raises(ValueError, match="48 channels do not divide"):
        MaskRCNN("resnet18", fpn_channels=48, fpn_norm="group_norm")
    with pytest.raises(ValueError, match="norm='layer' is not known"):
        MaskRCNN("resnet18", mask=False, box_conv=(8,), head_norm="layer")
