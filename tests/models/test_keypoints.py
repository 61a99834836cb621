"""The keypoint branch of the model, alone and beside masks."""

import json

import numpy as np
import pytest
import tensorflow as tf

import mrcnn_tf
from mrcnn_tf import MaskRCNN, Predictor
from mrcnn_tf.losses import Samples, keypoint_loss, keypoint_targets
from tests.models.tiny import LOSS_NAMES, check_detections, tiny_batch, tiny_model, with_padding

JOINTS = 5
KEYPOINTS = {
    "keypoints": JOINTS,
    "keypoint_names": ["nose", "left_eye", "right_eye", "left_ear", "right_ear"],
    "keypoint_skeleton": [(0, 1), (1, 4)],
}


def keypoint_model(**overrides) -> MaskRCNN:
    return tiny_model(**{**KEYPOINTS, **overrides})


def keypoint_batch(visibility=(2, 1, 2, 0, 2)):
    """The tiny batch with joints at fifths of each box's diagonal."""
    x, y = tiny_batch()
    boxes = y["boxes"].numpy()[..., None, :]  # [B, M, 1, 4]
    part = ((np.arange(JOINTS) + 0.5) / JOINTS)[:, None]
    places = boxes[..., :2] * (1 - part) + boxes[..., 2:] * part
    seen = np.broadcast_to(np.float32(visibility)[:, None], [*places.shape[:-1], 1])
    keypoints = np.concatenate([places, seen], axis=-1).astype(np.float32)
    return x, {**y, "keypoints": tf.constant(keypoints)}


@pytest.fixture(scope="module")
def model():
    return keypoint_model()


@pytest.fixture(scope="module")
def batch():
    return keypoint_batch()


def arrays(outputs):
    return {name: np.asarray(value) for name, value in outputs.items()}


def floats(losses):
    return {name: float(value) for name, value in losses.items()}


def test_output_contract(model, batch):
    median = float(np.median(model(batch[0])["scores"]))
    found = arrays(keypoint_model(score_threshold=median)(batch[0]))
    check_detections(found, [(64, 96)] * 2)  # masks as well
    keypoints, kept = found["keypoints"], found["classes"] >= 0
    assert keypoints.shape == (2, 12, JOINTS, 3) and keypoints.dtype == np.float32
    assert 0 < kept.sum() < kept.size and not keypoints[~kept].any()
    assert np.isfinite(keypoints).all() and keypoints[kept].any(axis=(0, 1)).all()
    boxes = found["boxes"][kept][:, None]
    assert (keypoints[kept][..., :2] >= boxes[..., :2] - 1e-3).all()
    assert (keypoints[kept][..., :2] <= boxes[..., 2:] + 1e-3).all()
    assert (keypoints[kept][..., 2] > 0).all() and (keypoints[kept][..., 2] < 1).all()


def test_other_outputs_are_those_of_a_model_without_joints(model, batch):
    plain = tiny_model()
    for variable in plain.weights:
        source = next(w for w in model.weights if w.path == variable.path)
        variable.assign(source)
    found, expected = arrays(model(batch[0])), arrays(plain(batch[0]))
    assert set(found) - set(expected) == {"keypoints"}
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=1e-5, err_msg=name)


def test_any_combination_of_heads(batch):
    x, y = batch
    without_masks = keypoint_model(mask=False)
    assert set(without_masks(x)) == {"boxes", "classes", "scores", "keypoints", "num_detections"}
    losses = floats(without_masks.compute_losses(x, y))
    assert list(losses) == [*LOSS_NAMES[:4], "keypoint_loss"]
    assert list(without_masks.loss_names) == list(losses)
    both = floats(keypoint_model().compute_losses(x, y))
    assert list(both) == [*LOSS_NAMES, "keypoint_loss"]
    assert all(np.isfinite(value) and value > 0 for value in [*losses.values(), *both.values()])
    assert "keypoint_loss" not in tiny_model().loss_weights


def test_graph_with_unknown_sizes_has_static_outputs(batch):
    signature = {
        "images": tf.TensorSpec([None, None, None, 3], tf.uint8),
        "image_sizes": tf.TensorSpec([None, 2], tf.int32),
    }
    model = keypoint_model(keypoint_decoding="torchvision")  # loops over the boxes
    traced = tf.function(
        lambda inputs: model(inputs)["keypoints"], input_signature=[signature], autograph=False
    )
    assert traced.get_concrete_function().output_shapes.as_list()[1:] == [12, JOINTS, 3]
    np.testing.assert_allclose(traced(batch[0]), model(batch[0])["keypoints"], atol=1e-3)


def test_saved_and_loaded(batch, tmp_path):
    model = keypoint_model(keypoint_decoding="detectron2", keypoint_loss_by_visible=False)
    model.save(tmp_path / "model.keras")
    loaded = mrcnn_tf.load(tmp_path / "model.keras")
    assert json.dumps(loaded.get_config()) == json.dumps(model.get_config())
    assert loaded.keypoint_names == KEYPOINTS["keypoint_names"]
    assert loaded.keypoint_decoding.method == "detectron2"
    found, expected = loaded(batch[0]), model(batch[0])
    np.testing.assert_array_equal(found["keypoints"], expected["keypoints"])
    # Other joints take the rest of the model over.
    other = MaskRCNN.from_preset(str(tmp_path / "model.keras"), keypoints=3)
    assert other.keypoint_names == ["keypoint 0", "keypoint 1", "keypoint 2"]
    np.testing.assert_array_equal(other.rpn.logits.kernel, model.rpn.logits.kernel)


def test_joints_of_some_classes(batch, tmp_path):
    images = batch[0]["images"]
    model, every = keypoint_model(keypoint_classes=[0, 2]), keypoint_model()
    model.set_weights(every.get_weights())
    found, expected = arrays(model(images)), arrays(every(images))
    has_joints = np.isin(found["classes"], [0, 2])
    assert 0 < has_joints.sum() < (found["classes"] >= 0).sum()
    assert not found["keypoints"][~has_joints].any()
    np.testing.assert_array_equal(found["keypoints"][has_joints], expected["keypoints"][has_joints])
    np.testing.assert_array_equal(found["masks"], expected["masks"])
    path = str(tmp_path / "model.keras")
    model.save(path)
    loaded = mrcnn_tf.load(path)
    assert loaded.keypoint_classes == [0, 2] and loaded.keypoint_skeleton == [[0, 1], [1, 4]]
    # Another number of classes has other numbers, and other joints have other limbs.
    other = MaskRCNN.from_preset(path, num_classes=2, keypoints=3)
    assert other.keypoint_classes is None and other.keypoint_skeleton == []


def test_losses_learn_and_ignore_padding(model, batch):
    x, y = batch
    expected = floats(model.compute_losses(x, y))
    more_rows = floats(model.compute_losses(x, with_padding(y, 4)))
    assert more_rows == pytest.approx(expected, rel=1e-4)
    trained = model.keypoint_head.trainable_weights + model.backbone.trainable_weights
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([y["keypoints"], y["boxes"]])
        loss = model.compute_losses(x, y)["keypoint_loss"]
    assert tape.gradient(loss, [y["keypoints"], y["boxes"]]) == [None, None]
    gradients = tape.gradient(loss, [weight.value for weight in trained])
    # A softmax does not see a number that is added to all its cells.
    assert trained[3].path.endswith("logits/bias")
    del gradients[3]
    assert all(float(tf.norm(gradient)) > 0 for gradient in gradients)


def test_loss_is_of_the_positives_and_their_joints(batch):
    """The objects themselves as only RoIs; of two of six no joint is annotated."""
    x, y = batch
    seen = np.float32([[1, 0, 1], [1, 1, 0]])[..., None, None] * [0, 0, 1] + [1, 1, 0]
    y = {**y, "keypoints": y["keypoints"] * tf.constant(seen, tf.float32)}
    everything = tf.ones([2, 3], tf.bool)
    rois = Samples(tf.tile(tf.range(3)[None], [2, 1]), everything, everything)
    samples = {"proposals": tf.zeros([2, 0, 4]), "rois": rois}
    model = keypoint_model()
    pyramid = model.features(x["images"], x["image_sizes"])
    logits = model.keypoint_head(model.keypoint_pooling(pyramid[:-1], y["boxes"]))
    cells, is_valid = keypoint_targets(y["keypoints"], y["boxes"], 56)
    assert is_valid.numpy().sum() == 4 * 4  # one of five joints is not annotated
    expected = float(keypoint_loss(logits, cells, is_valid))
    loss = model.compute_losses(x, y, samples=samples)["keypoint_loss"]
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    # Detectron2's other normalizer: joints of the RoIs that could be positive, 8 in each image.
    fixed = keypoint_model(keypoint_loss_by_visible=False)
    fixed.set_weights(model.get_weights())
    loss = fixed.compute_losses(x, y, samples=samples)["keypoint_loss"]
    assert float(loss) == pytest.approx(expected * 16 / (2 * 8 * JOINTS), rel=1e-5)
    nobody = Samples(rois.indices, tf.zeros([2, 3], tf.bool), everything)
    losses = model.compute_losses(x, y, samples={**samples, "rois": nobody})
    assert float(losses["keypoint_loss"]) == 0 < float(losses["class_loss"])
    # RoIs of its own: every object with joints, though no RoI of the other heads is positive.
    samples["rois"] = nobody
    for by_visible, divisor in ((True, 16), (False, 2 * 5 * JOINTS)):
        own = keypoint_model(keypoint_rois_per_image=5, keypoint_loss_by_visible=by_visible)
        own.set_weights(model.get_weights())
        loss = own.compute_losses(x, y, samples=samples)["keypoint_loss"]
        assert float(loss) == pytest.approx(expected * 16 / divisor, rel=1e-5)


def test_keypoint_rois_are_drawn_anew_every_step(batch):
    model, (x, y) = keypoint_model(keypoint_rois_per_image=1), batch
    samples = {"proposals": tf.zeros([2, 0, 4])}  # one of three objects an image each time
    losses = [
        float(model.compute_losses(x, y, step=step, samples=samples)["keypoint_loss"])
        for step in (0, 0, 1, 2, 3)
    ]
    assert losses[0] == losses[1] and len(set(losses)) > 2
    with pytest.raises(ValueError, match="keypoint_rois_per_image must be at least 1"):
        keypoint_model(keypoint_rois_per_image=0)


@pytest.mark.parametrize("case", ["no joints", "no rows", "padding"])
def test_losses_are_finite_whatever_is_annotated(model, batch, case):
    x, y = batch
    if case == "no joints":
        x, y = keypoint_batch(visibility=[0] * JOINTS)
    elif case == "no rows":
        y = {n: v[:, :0] if n not in ("image_id", "masks") else v for n, v in y.items()}
    else:
        y = {**y, "classes": -tf.ones_like(y["classes"]), "boxes": tf.zeros_like(y["boxes"])}
    with tf.GradientTape() as tape:
        loss = model.compute_losses(x, y)["keypoint_loss"]
    gradients = tape.gradient(loss, [w.value for w in model.keypoint_head.weights])
    assert float(loss) == 0
    assert all(not np.any(gradient) for gradient in gradients)


def test_half_precision_keeps_joints_in_float32(model, batch):
    x, y = batch
    half = keypoint_model(dtype="mixed_bfloat16")
    half.set_weights(model.get_weights())
    assert all(weight.dtype == "float32" for weight in half.weights)
    assert half.keypoint_head.convs[0].compute_dtype == "bfloat16"
    assert half(x)["keypoints"].dtype == tf.float32
    ours, exact = (m.compute_losses(x, y)["keypoint_loss"] for m in (half, model))
    assert ours.dtype == tf.float32
    assert float(ours) == pytest.approx(float(exact), rel=0.1)


def test_predictor_scales_joints_back(model, batch):
    image = batch[0]["images"][0].numpy()  # 64 x 96, resized to 85 x 128
    found = Predictor(model, score_threshold=0.0)(image)[0]
    resized = mrcnn_tf.ops.resize_image(image, 96, 128)
    expected = arrays(model(resized[None]))
    count = expected["num_detections"][0]
    assert found["keypoints"].shape == (count, JOINTS, 3) and count > 0
    scale = np.float32([96 / 128, 64 / 85, 1])
    np.testing.assert_allclose(
        found["keypoints"], expected["keypoints"][0, :count] * scale, rtol=1e-4
    )


def test_wrong_arguments_and_targets_are_explained(model, batch):
    x, y = batch
    with pytest.raises(ValueError, match="keypoint_names has 2 entries, but keypoints is 3"):
        tiny_model(keypoints=3, keypoint_names=["a", "b"])
    with pytest.raises(ValueError, match="keypoints must be a number of joints.*-1"):
        tiny_model(keypoints=-1)
    for limb in ([0, 3], [-1, 0], [0]):
        with pytest.raises(ValueError, match="keypoint_skeleton must hold pairs .* from 0 to 2"):
            tiny_model(keypoints=3, keypoint_skeleton=[limb])
    with pytest.raises(ValueError, match=r"keypoint_classes must be out of 0 to 2; got \[3\]"):
        tiny_model(keypoints=3, keypoint_classes=[3])
    with pytest.raises(ValueError, match="keypoint_decoding must be one of"):
        tiny_model(keypoints=3, keypoint_decoding="argmax")
    with pytest.raises(ValueError, match=r"y needs keypoints \[batch, objects, 5, 3\].*it has"):
        model.compute_losses(x, tiny_batch()[1])
    with pytest.raises(ValueError, match=r"objects, 5, 3\]; got shape \(2, 4, 4, 3\)"):
        model.compute_losses(x, {**y, "keypoints": y["keypoints"][:, :, :4]})
