import numpy as np
import tensorflow as tf

from mrcnn_tf.layers import BestClassDetections
from tests.layers.layer_case import check_layer
from tests.layers.test_detections import random_inputs

WINDOW = [[0.0, 0, 96, 64]]
LEFT, NEAR_LEFT, RIGHT = [0.0, 0, 20, 20], [4.0, 0, 24, 20], [60.0, 30, 90, 60]


def detect(probabilities, proposals, deltas=None, windows=WINDOW, count=None, **options):
    """Detections for `[N, K + 1]` probabilities of one image, background last."""
    logits = tf.math.log(tf.constant([probabilities], tf.float32))
    deltas = tf.zeros([*logits.shape[:2], 1, 4]) if deltas is None else tf.constant([deltas])
    layer = BestClassDetections(max_detections=4, **{"score_threshold": 0.3, **options})
    count = tf.constant([len(proposals) if count is None else count])
    outputs = layer(logits, deltas, tf.constant([proposals]), count, tf.constant(windows))
    return {name: value.numpy()[0] for name, value in outputs.items()}


def test_serialisation_and_precision():
    inputs = random_inputs(2)
    check_layer(
        lambda **kwargs: BestClassDetections((10.0, 10.0, 5.0, 5.0), 0.1, 0.4, 15, **kwargs),
        [
            tf.math.log(tf.constant(inputs["probabilities"], tf.float32) + 1e-9),
            inputs["deltas"],
            tf.constant(inputs["proposals"], tf.float32),
            tf.constant([40, 12]),
            tf.constant([[0.0, 10, 96, 74], [20, 0, 70, 96]]),
        ],
        num_weights=0,
        mixed_dtypes=["float32", "int32", "int32", "float32"],  # boxes, classes, number, scores
    )


def test_a_roi_is_its_most_probable_class_or_nothing(each_implementation):
    found = detect(
        [[0.5, 0.4, 0.1], [0.3, 0.2, 0.5], [0.5, 0.0, 0.5], [0.1, 0.45, 0.45]],
        [LEFT, RIGHT, RIGHT, RIGHT],
    )
    assert found["num_detections"] == 1 and found["classes"].tolist() == [0, -1, -1, -1]
    np.testing.assert_allclose(found["boxes"], [LEFT, *[[0] * 4] * 3], atol=1e-5)
    np.testing.assert_allclose(found["scores"], [0.5, 0, 0, 0], atol=1e-6)


def test_the_threshold_itself_is_enough():
    for threshold, count in ((0.5, 1), (np.nextafter(np.float32(0.5), np.float32(1)), 0)):
        found = detect([[0.5, 0.25, 0.25]], [LEFT], score_threshold=float(threshold))
        assert found["num_detections"] == count


def test_deltas_of_its_class_apply_to_sides_of_one_pixel_less():
    deltas = np.float32([[[9, 9, 9, 9], [5, -2.5, 5 * np.log(2.0), 0]]])
    found = detect([[0.1, 0.8, 0.1]], [[20.0, 20, 40, 40]], deltas)  # 19 wide, around 29.5
    np.testing.assert_allclose(found["boxes"][0], [20, 15.25, 59, 35.25], atol=1e-4)


def test_boxes_end_at_the_window(each_implementation):
    windows = [[8.0, 4, 88, 60]]
    boxes = [[0.0, 0, 96, 64], [20.0, 0, 30, 4]]  # the second one lies outside
    found = detect([[0.9, 0.1], [0.8, 0.2]], boxes, windows=windows)
    expected = [[8, 4, 88, 60], [20, 4, 30, 5]]
    np.testing.assert_allclose(found["boxes"][:2], expected, atol=1e-4)


def test_doubles_fall_within_a_class_and_padding_is_no_roi(each_implementation):
    # 15 x 19 of 437 pixels overlap: 0.65.
    probabilities = [[0.9, 0.0, 0.1], [0.8, 0.0, 0.2], [0.0, 0.7, 0.3], [0.95, 0.0, 0.05]]
    boxes = [LEFT, NEAR_LEFT, NEAR_LEFT, RIGHT]
    found = detect(probabilities, boxes, count=3)
    np.testing.assert_allclose(found["scores"], [0.9, 0.7, 0, 0], atol=1e-6)
    assert found["classes"].tolist() == [0, 1, -1, -1]
    found = detect(probabilities, boxes, count=3, nms_threshold=0.7)
    np.testing.assert_allclose(found["scores"], [0.9, 0.8, 0.7, 0], atol=1e-6)
