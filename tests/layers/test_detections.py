import numpy as np
import pytest
import tensorflow as tf

from mrcnn_tf.layers import Detections
from tests.layers.layer_case import check_layer

SIZES = [[64, 96]]
LEFT, NEAR_LEFT, RIGHT = [0.0, 0, 20, 20], [2.0, 0, 22, 20], [60.0, 30, 90, 60]


def detect(layer, probabilities, proposals, deltas=None, count=None, sizes=SIZES):
    """Detections for `[B, N, K + 1]` probabilities, background last."""
    logits = tf.math.log(tf.constant(probabilities, tf.float32) + 1e-9)
    proposals = tf.constant(proposals, tf.float32)
    if deltas is None:
        deltas = tf.zeros([*logits.shape[:2], 1, 4])
    if count is None:
        count = [logits.shape[1]] * logits.shape[0]
    outputs = layer(logits, deltas, proposals, tf.constant(count), tf.constant(sizes))
    return {name: value.numpy() for name, value in outputs.items()}


def random_inputs(batch, rows=40, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet([0.4] * (classes + 1), size=(batch, rows))
    corners = rng.uniform(0, 80, (batch, rows, 2))
    proposals = np.concatenate([corners, corners + rng.uniform(5, 40, corners.shape)], axis=-1)
    deltas = tf.constant(rng.normal(0, 1, (batch, rows, classes, 4)).astype("float32"))
    return {"probabilities": probabilities, "proposals": proposals, "deltas": deltas}


@pytest.mark.parametrize("method", ["hard", "soft_linear", "soft_gaussian"])
def test_serialisation_and_precision(method):
    inputs = random_inputs(2)
    check_layer(
        lambda **kwargs: Detections(
            (10.0, 10.0, 5.0, 5.0), 0.1, 0.4, 15, method, 0.7, 0.01, **kwargs
        ),
        [
            tf.math.log(tf.constant(inputs["probabilities"], tf.float32) + 1e-9),
            inputs["deltas"],
            tf.constant(inputs["proposals"], tf.float32),
            tf.constant([40, 12]),
            tf.constant([[64, 96], [96, 50]]),
        ],
        num_weights=0,
        mixed_dtypes=["float32", "int32", "int32", "float32"],  # boxes, classes, number, scores
    )


def test_small_boxes_are_left_out():
    boxes = [[10.0, 10, 10.5, 30], [40.0, 40, 42, 42], [50.0, 50, 50, 60]]
    probabilities = [[[0.9, 0.1], [0.8, 0.2], [0.7, 0.3]]]
    for min_size, expected in ((0.0, [0.9, 0.8]), (0.5, [0.9, 0.8]), (1.0, [0.8])):
        found = detect(Detections(max_detections=3, min_size=min_size), probabilities, [boxes])
        np.testing.assert_allclose(found["scores"][0, : len(expected)], expected, atol=1e-5)
        assert found["num_detections"] == [len(expected)]


def test_doubles_fall_within_a_class_and_not_across():
    probabilities = [[[0.6, 0.3, 0.1], [0.7, 0.1, 0.2], [0.02, 0.9, 0.08]]]
    found = detect(Detections(max_detections=8), probabilities, [[LEFT, NEAR_LEFT, RIGHT]])
    # Class 1 at RIGHT; class 0 at NEAR_LEFT, where LEFT falls; class 1 at LEFT, where the second
    # falls; class 0 at RIGHT is below 0.05.
    assert found["num_detections"].tolist() == [3]
    assert found["classes"].tolist() == [[1, 0, 1, -1, -1, -1, -1, -1]]
    np.testing.assert_allclose(found["scores"][0, :3], [0.9, 0.7, 0.3], atol=1e-5)
    np.testing.assert_allclose(found["boxes"][0, :3], [RIGHT, NEAR_LEFT, LEFT], atol=1e-4)
    assert not found["boxes"][0, 3:].any() and not found["scores"][0, 3:].any()


def test_soft_methods_lower_scores(each_implementation):
    probabilities = [[[0.6, 0.3, 0.1], [0.7, 0.1, 0.2], [0.02, 0.9, 0.08]]]
    iou = 18 / 22  # of LEFT and NEAR_LEFT
    for method, factor in [("soft_linear", 1 - iou), ("soft_gaussian", np.exp(-(iou**2) / 0.6))]:
        layer = Detections(max_detections=8, nms_method=method, nms_sigma=0.6)
        found = detect(layer, probabilities, [[LEFT, NEAR_LEFT, RIGHT]])
        # Class 0 at LEFT comes last; class 1 at NEAR_LEFT falls from 0.1 below 0.05.
        assert found["classes"].tolist() == [[1, 0, 1, 0, -1, -1, -1, -1]]
        expected = [0.9, 0.7, 0.3, 0.6 * factor, 0, 0, 0, 0]
        np.testing.assert_allclose(found["scores"][0], expected, atol=1e-5)
        np.testing.assert_allclose(found["boxes"][0, 3], LEFT, atol=1e-4)
    with pytest.raises(ValueError, match="nms_method must be one of .* got 'soft'"):
        Detections(nms_method="soft")


def test_background_is_the_last_class_and_never_found():
    found = detect(Detections(max_detections=5), [[[0.01, 0.01, 0.98]]], [[LEFT]])
    assert found["num_detections"].tolist() == [0]
    assert (found["classes"] == -1).all()
    assert not found["boxes"].any() and not found["scores"].any()
    found = detect(Detections(max_detections=5), [[[0.98, 0.01, 0.01]]], [[LEFT]])
    assert found["classes"][0].tolist() == [0, -1, -1, -1, -1]


def test_each_class_has_its_own_box():
    weights = (10.0, 10.0, 5.0, 5.0)
    # Class 0 moves by half a width (20 px / 2), class 1 doubles its height.
    deltas = tf.constant([[[[5.0, 0, 0, 0], [0, 0, 0, 5 * np.log(2.0)]]]], tf.float32)
    proposal = [[[30.0, 20, 50, 30]]]
    found = detect(Detections(weights), [[[0.5, 0.4, 0.1]]], proposal, deltas)
    np.testing.assert_allclose(
        found["boxes"][0, :2], [[40, 20, 60, 30], [30, 15, 50, 35]], atol=1e-4
    )
    # One box for all classes.
    found = detect(Detections(weights), [[[0.5, 0.4, 0.1]]], proposal, deltas[:, :, :1])
    np.testing.assert_allclose(found["boxes"][0, :2], [[40, 20, 60, 30]] * 2, atol=1e-4)


def test_rows_past_the_count_are_ignored():
    probabilities = [[[0.6, 0.4], [0.99, 0.01]]]
    layer = Detections(score_threshold=0.0, max_detections=4)
    assert detect(layer, probabilities, [[LEFT, RIGHT]])["num_detections"].tolist() == [2]
    found = detect(layer, probabilities, [[LEFT, RIGHT]], count=[1])
    assert found["num_detections"].tolist() == [1]
    np.testing.assert_allclose(found["boxes"][0, 0], LEFT, atol=1e-4)
    assert detect(layer, probabilities, [[LEFT, RIGHT]], count=[0])["num_detections"] == [0]
    # A proposal without area, as a padded one is, yields nothing whatever it is taken for.
    assert detect(layer, probabilities, np.zeros((1, 2, 4)))["num_detections"].tolist() == [0]


def test_limits_hold_and_no_box_leaves_the_image():
    sizes = [[64, 96], [40, 33], [96, 20]]
    layer = Detections(score_threshold=0.1, nms_threshold=0.5, max_detections=12)
    found = detect(layer, **random_inputs(3), sizes=sizes)
    assert (found["num_detections"] > 3).all() and (found["num_detections"] <= 12).all()
    for image, (height, width) in enumerate(sizes):
        kept = found["num_detections"][image]
        boxes, scores = found["boxes"][image, :kept], found["scores"][image, :kept]
        assert boxes.min() >= 0 and boxes[:, 2].max() <= width and boxes[:, 3].max() <= height
        assert (boxes[:, 2:] > boxes[:, :2]).all()
        assert scores.min() > 0.1 and (np.diff(scores) <= 0).all()
        assert set(found["classes"][image, :kept]) <= {0, 1, 2}


def test_an_image_does_not_depend_on_its_batch():
    inputs, sizes, count = random_inputs(3), [[64, 96], [40, 33], [90, 90]], [40, 25, 3]
    layer = Detections(max_detections=20)
    together = detect(layer, **inputs, sizes=sizes, count=count)
    for image in range(3):
        part = slice(image, image + 1)
        cut = {name: value[part] for name, value in inputs.items()}
        alone = detect(layer, **cut, sizes=sizes[part], count=count[part])
        for name, value in alone.items():
            np.testing.assert_allclose(together[name][part], value, atol=1e-4, err_msg=name)
        # Nor on how many rows its proposals are padded to.
        rows = count[image]
        shorter = {name: value[:, :rows] for name, value in cut.items()}
        for name, value in detect(layer, **shorter, sizes=sizes[part], count=[rows]).items():
            np.testing.assert_allclose(alone[name], value, atol=1e-4, err_msg=name)


def test_broken_rows_are_dropped():
    probabilities = [[[np.nan, 0.5], [0.8, 0.2], [0.9, 0.1]]]
    deltas = tf.constant([[[[0.0] * 4], [[0.0] * 4], [[np.nan] * 4]]])
    found = detect(Detections(max_detections=3), probabilities, [[LEFT, RIGHT, LEFT]], deltas)
    assert found["num_detections"].tolist() == [1]
    np.testing.assert_allclose(found["boxes"][0], [RIGHT, [0] * 4, [0] * 4], atol=1e-4)
