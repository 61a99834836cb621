import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from mrcnn_tf import MaskRCNN
from mrcnn_tf.losses import Samples
from tests.models.tiny import (
    ARGUMENTS,
    LOSS_NAMES,
    check_detections,
    tiny_batch,
    tiny_model,
    with_padding,
)


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.fixture(scope="module")
def batch():
    return tiny_batch()


def arrays(outputs):
    return {name: np.asarray(value) for name, value in outputs.items()}


def assert_same(first, second, atol=1e-3):
    assert set(first) == set(second)
    for name, value in first.items():
        np.testing.assert_allclose(value, second[name], atol=atol, rtol=1e-3, err_msg=name)


def floats(losses):
    return {name: float(value) for name, value in losses.items()}


def test_output_contract(model, batch):
    x, _ = batch
    found = arrays(model(x))
    assert {name: value.shape for name, value in found.items()} == {
        "boxes": (2, 12, 4),
        "classes": (2, 12),
        "scores": (2, 12),
        "masks": (2, 12, 28, 28),
        "num_detections": (2,),
    }
    check_detections(found, [(64, 96)] * 2)
    assert (found["num_detections"] > 3).all()
    assert len(np.unique(found["classes"])) > 1
    assert found["masks"].std() > 0.01


def test_arguments_of_torchvision_reach_their_layers():
    model = tiny_model(
        norm_epsilon=0.0, rounded_anchors=True, roi_aligned=False, min_detection_size=0.01
    )
    again = MaskRCNN.from_config(model.get_config())
    assert again.backbone.blocks[-1].convs[0].epsilon == 0 and again.anchors.rounded
    assert not again.box_pooling.aligned and not again.mask_pooling.aligned
    assert again.detections.min_size == 0.01


def test_rows_without_detection_are_empty(model, batch):
    x, _ = batch
    median = float(np.median(model(x)["scores"]))
    found = arrays(tiny_model(score_threshold=median)(x))
    check_detections(found, [(64, 96)] * 2)
    assert found["num_detections"].sum() == 12
    nothing = arrays(tiny_model(score_threshold=0.9999)(x))
    assert not nothing["num_detections"].any() and not nothing["masks"].any()
    check_detections(nothing, [(64, 96)] * 2)


def test_graph_with_unknown_sizes_has_static_outputs(model, batch):
    x, _ = batch
    traced = tf.function(
        lambda inputs: model(inputs, training=False),
        input_signature=[
            {
                "images": tf.TensorSpec([None, None, None, 3], tf.uint8),
                "image_sizes": tf.TensorSpec([None, 2], tf.int32),
            }
        ],
        autograph=False,
    )
    shapes = traced.get_concrete_function().output_shapes
    assert {name: shape.as_list()[1:] for name, shape in shapes.items()} == {
        "boxes": [12, 4],
        "classes": [12],
        "scores": [12],
        "masks": [12, 28, 28],
        "num_detections": [],
    }
    assert_same(arrays(traced(x)), arrays(model(x)))
    odd = {"images": x["images"][:1, :50, :70], "image_sizes": [[50, 70]]}
    odd = {name: tf.constant(value) for name, value in odd.items()}
    check_detections(arrays(traced(odd)), [(50, 70)])


def test_arrays_and_dicts_and_number_types_are_the_same_input(model, batch):
    images = batch[0]["images"].numpy()
    expected = arrays(model(batch[0]))
    assert_same(arrays(model(images)), expected)
    assert_same(arrays(model({"images": images})), expected)
    assert_same(arrays(model(images.astype("float32"))), expected)
    assert_same(arrays(model(tf.constant(images), training=True)), expected)  # frozen statistics


def test_padding_is_invisible_and_images_are_independent(model):
    x, _ = tiny_batch(batch=3, seed=4)
    sizes = np.int32([[64, 96], [41, 60], [64, 33]])
    together = arrays(model({"images": x["images"], "image_sizes": sizes}))
    check_detections(together, sizes)
    garbage = x["images"].numpy()
    garbage[1, 41:], garbage[1, :, 60:], garbage[2, :, 33:] = 255, 7, 130
    assert_same(arrays(model({"images": garbage, "image_sizes": sizes})), together)
    for image in range(3):
        part = slice(image, image + 1)
        alone = arrays(model({"images": garbage[part], "image_sizes": sizes[part]}))
        assert_same(alone, {name: value[part] for name, value in together.items()})


@pytest.mark.parametrize(
    "options",
    [
        {"mask": False},
        {"class_agnostic_boxes": True, "class_agnostic_masks": True, "binary_mask_targets": True},
        {
            "fpn_min_level": 3,
            "fpn_norm": "group_norm",
            "head_norm": "batch_norm",
            "box_conv": (16, 8),
            "anchor_sizes": ((16, 24), (32, 48), (64, 96), (128, 192)),
            "anchor_offset": 0.5,
            "rpn_convs": 2,
            "rpn_channels": 16,
            "norm": "batch_norm",
            "sampling_ratio": 0,
            "box_fc": (),
            "mask_pool_size": 7,
        },
    ],
    ids=["boxes only", "class agnostic", "other sizes"],
)
def test_options(options, batch):
    x, y = batch
    model = tiny_model(**options)
    mask = options.get("mask", True)
    found = arrays(model(x))
    assert ("masks" in found) == mask
    if mask:
        side = 2 * options.get("mask_pool_size", 14)
        assert found["masks"].shape == (2, 12, side, side)
    check_detections(found, [(64, 96)] * 2, masks=mask)
    losses = floats(model.compute_losses(x, y))
    assert list(losses) == LOSS_NAMES[: 5 if mask else 4]
    assert all(np.isfinite(value) and value > 0 for value in losses.values())


def test_half_precision_keeps_boxes_and_losses_in_float32(batch):
    x, y = batch
    full, half = tiny_model(), tiny_model(dtype="mixed_bfloat16")
    half.set_weights(full.get_weights())
    assert all(weight.dtype == "float32" for weight in half.weights)
    pyramid = half.features(x["images"], x["image_sizes"])
    assert {level.dtype for level in pyramid} == {tf.bfloat16}
    np.testing.assert_array_equal(half.anchors(pyramid)[0], full.anchors(pyramid)[0])
    check_detections(arrays(half(x)), [(64, 96)] * 2)
    ours, exact = half.compute_losses(x, y), full.compute_losses(x, y)
    for name, value in ours.items():
        assert value.dtype == tf.float32
        np.testing.assert_allclose(value, exact[name], rtol=0.25, err_msg=name)
    config = half.get_config()
    assert MaskRCNN.from_config(config).dtype_policy.name == "mixed_bfloat16"


def test_config_round_trip(batch):
    names, ids = ["disc", "square", "star"], [3, 7, 11]
    model = tiny_model(class_names=names, category_ids=ids, loss_weights={"mask_loss": 2.0})
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(model)))
    restored = keras.saving.deserialize_keras_object(config)
    assert json.dumps(restored.get_config()) == json.dumps(model.get_config())
    assert (restored.class_names, restored.category_ids) == (names, ids)
    assert restored.image_size == (96, 128) and restored.num_classes == 3
    assert restored.loss_weights["mask_loss"] == 2.0 and restored.loss_weights["box_loss"] == 1.0
    restored.set_weights(model.get_weights())
    assert_same(arrays(restored(batch[0])), arrays(model(batch[0])), atol=0)
    assert tiny_model().category_ids == [1, 2, 3]


def test_every_loss_teaches_the_backbone_and_none_the_coordinates(model, batch):
    x, y = batch
    proposals = tf.concat([y["boxes"] + 2.0, y["boxes"] * 0.8], axis=1)
    trained = [weight.value for weight in model.backbone.trainable_weights]
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([proposals, y["boxes"], y["mask_boxes"]])
        losses = model.compute_losses(x, y, samples={"proposals": proposals})
    for name, loss in losses.items():
        assert tape.gradient(loss, [proposals, y["boxes"], y["mask_boxes"]]) == [None] * 3, name
        gradients = [g for g in tape.gradient(loss, trained) if g is not None]
        assert sum(float(tf.reduce_sum(tf.abs(g))) for g in gradients) > 0, name
    # Only a head's own losses reach its weights.
    for name, layer in [("class_loss", model.rpn), ("rpn_box_loss", model.box_head)]:
        gradients = tape.gradient(losses[name], [weight.value for weight in layer.weights])
        assert gradients == [None] * len(layer.weights)


def test_losses_ignore_padding(model):
    x, y = tiny_batch(batch=2, seed=3)
    expected = floats(model.compute_losses(x, y))
    more_rows = floats(model.compute_losses(x, with_padding(y, 4), step=0))
    # Proposals stand before the objects, so padded rows move nobody's random number.
    assert more_rows == pytest.approx(expected, rel=1e-4)
    sizes = tf.constant([[64, 96], [60, 90]])
    in_padding = x["images"].numpy()
    expected = floats(model.compute_losses({"images": in_padding, "image_sizes": sizes}, y))
    in_padding[1, 60:], in_padding[1, :, 90:] = 255, 99
    garbage = floats(model.compute_losses({"images": in_padding, "image_sizes": sizes}, y))
    assert garbage == pytest.approx(expected, rel=1e-4)


def change(y, **values):
    return {**y, **{name: tf.constant(value) for name, value in values.items()}}


@pytest.mark.parametrize("case", ["no rows", "padding", "crowds", "no area", "no masks", "one"])
def test_losses_are_finite_whatever_is_annotated(model, batch, case):
    x, y = batch
    zeros = np.zeros((2, 3, 4), np.float32)
    if case == "no rows":
        per_object = ("boxes", "classes", "is_crowd", "mask_shapes", "mask_boxes")
        y = {name: value[:, :0] if name in per_object else value for name, value in y.items()}
        y["masks"] = y["masks"][:, :0]
    elif case == "padding":
        y = change(y, classes=-np.ones((2, 3), np.int32), boxes=zeros)
    elif case == "crowds":
        y = change(y, is_crowd=np.ones((2, 3), bool))
    elif case == "no area":
        y = change(y, boxes=zeros + 5.0)
    elif case == "no masks":
        y = change(y, masks=np.zeros((2, 0), np.uint8), mask_shapes=np.zeros((2, 3, 2), np.int32))
    elif case == "one":
        y = change(y, is_crowd=np.array([[False, True, True], [True] * 3]))
    with tf.GradientTape() as tape:
        losses = model.compute_losses(x, y)
        total = model.total_loss(losses)
    gradients = tape.gradient(total, [weight.value for weight in model.trainable_weights])
    assert all(np.isfinite(g).all() for g in map(tf.convert_to_tensor, filter(_is_some, gradients)))
    losses = floats(losses)
    assert all(np.isfinite(value) for value in losses.values())
    assert losses["rpn_objectness_loss"] > 0  # background teaches
    if case in ("no masks", "one"):
        assert losses["box_loss"] > 0 and (losses["mask_loss"] > 0) == (case == "one")
    else:
        assert [losses[name] for name in ("rpn_box_loss", "box_loss", "mask_loss")] == [0, 0, 0]


def _is_some(value):
    return value is not None


def test_crowds_and_padding_are_no_candidates(model, batch):
    """A crowd's box that overlaps an object is not handed to the heads as a positive RoI."""
    x, y = batch
    object_box = y["boxes"][:, :1]
    doubled = change(
        y,
        boxes=tf.concat([object_box, object_box * 1.02, object_box * 1.03], axis=1),
        classes=tf.concat(
            [y["classes"][:, :1], y["classes"][:, :1], -tf.ones([2, 1], tf.int32)], 1
        ),
        is_crowd=np.array([[False, True, False]] * 2),
    )
    single = change(doubled, boxes=tf.concat([object_box, tf.zeros([2, 2, 4])], axis=1))
    far = {"proposals": tf.constant([[[0.0, 0, 3, 3]]] * 2)}
    with_both = floats(model.compute_losses(x, doubled, samples=far))
    with_one = floats(model.compute_losses(x, single, samples=far))
    for name in ("box_loss", "mask_loss"):
        assert with_both[name] == pytest.approx(with_one[name], rel=1e-3), name


def test_samples_follow_seed_step_and_image_id(model, batch):
    x, y = batch
    first = floats(model.compute_losses(x, y, step=tf.constant(5, tf.int64)))
    assert floats(model.compute_losses(x, y, step=5)) == first
    assert floats(model.compute_losses(x, y, step=6)) != first
    others = change(y, image_id=np.array([7, 8], np.int64))
    assert floats(model.compute_losses(x, others, step=5)) != first
    reseeded = MaskRCNN(**{**ARGUMENTS, "seed": 1})
    reseeded.set_weights(model.get_weights())
    assert floats(reseeded.compute_losses(x, y, step=5)) != first


def test_injected_samples_are_used(model, batch):
    x, y = batch
    none = tf.zeros([2, 4], tf.bool)
    nothing = Samples(tf.zeros([2, 4], tf.int32), none, none)
    losses = floats(model.compute_losses(x, y, samples={"anchors": nothing}))
    assert losses["rpn_objectness_loss"] == losses["rpn_box_loss"] == 0 < losses["class_loss"]
    losses = floats(model.compute_losses(x, y, samples={"rois": nothing}))
    assert losses["class_loss"] == losses["box_loss"] == losses["mask_loss"] == 0
    assert losses["rpn_objectness_loss"] > 0
    # The objects themselves as only RoIs: rows behind the proposals, here behind none.
    everything = tf.ones([2, 3], tf.bool)
    objects = Samples(tf.tile(tf.range(3)[None], [2, 1]), everything, everything)
    given = {"proposals": tf.zeros([2, 0, 4]), "rois": objects}
    losses = model.compute_losses(x, y, samples=given)
    pyramid = model.features(x["images"], x["image_sizes"])
    logits, deltas = model.box_head(model.box_pooling(pyramid[:-1], y["boxes"]))
    expected = tf.reduce_mean(
        tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y["classes"], logits=logits)
    )
    np.testing.assert_allclose(losses["class_loss"], expected, rtol=1e-5)
    chosen = tf.gather(deltas, y["classes"], axis=2, batch_dims=2)  # should be 0
    size = tf.abs(chosen)
    beta = 1 / 9
    expected = tf.where(size < beta, 0.5 * size**2 / beta, size - 0.5 * beta)
    np.testing.assert_allclose(
        losses["box_loss"], tf.reduce_mean(tf.reduce_sum(expected, axis=-1)), rtol=1e-4
    )


def test_beta_of_the_rpn(batch):
    """L1 exceeds smooth L1 by at most beta / 2 for each of a positive's four numbers."""
    x, y = batch
    smooth, straight = (
        floats(tiny_model(**options).compute_losses(x, y)) for options in ({}, {"rpn_beta": 0.0})
    )
    difference = straight.pop("rpn_box_loss") - smooth.pop("rpn_box_loss")
    assert 0 < difference <= 0.5 * 4 * (1 / 9) / 2
    assert straight == pytest.approx(smooth, rel=1e-5)


@pytest.mark.parametrize(
    ("options", "changed"),
    [
        ({"box_regression": "giou"}, ("rpn_box_loss", "box_loss")),
        ({"box_regression": "ciou"}, ("rpn_box_loss", "box_loss")),
        ({"rpn_focal": True}, ("rpn_objectness_loss",)),
    ],
)
def test_other_losses(batch, options, changed):
    x, y = batch
    usual, other = (floats(tiny_model(**o).compute_losses(x, y)) for o in ({}, options))
    for name in changed:
        assert np.isfinite(other[name]) and other[name] > 0
        assert other.pop(name) != pytest.approx(usual.pop(name), rel=1e-2)
    assert other == pytest.approx(usual, rel=1e-5)
    with pytest.raises(ValueError, match="box_regression is one of smooth_l1, giou, ciou; got 'l'"):
        tiny_model(box_regression="l")


def test_wrong_inputs_are_explained(model):
    with pytest.raises(ValueError, match="image\\[None\\]"):
        model(np.zeros((64, 64, 3), "uint8"))
    with pytest.raises(ValueError, match="images must be"):
        model(np.zeros((1, 64, 64, 4), "uint8"))
    with pytest.raises(ValueError, match="needs the key 'images'.*'image'"):
        model({"image": np.zeros((1, 64, 64, 3), "uint8")})
