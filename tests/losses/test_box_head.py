import numpy as np
import tensorflow as tf

from mrcnn_tf.boxes import encode_boxes
from mrcnn_tf.losses import box_loss, class_loss

NUM_CLASSES = 3
WEIGHTS = (10.0, 10.0, 5.0, 5.0)
ROIS = tf.constant([[[0.0, 0, 10, 10], [20.0, 0, 40, 10], [0.0, 40, 20, 60], [0.0, 0, 0, 0]]])
BOXES = tf.constant([[[1.0, 0, 11, 10], [22.0, 1, 40, 12], [0.0, 0, 10, 10], [0.0, 0, 0, 0]]])
CLASSES = tf.constant([[2, 0, 3, 3]])  # two objects, background, a row that is not valid
IS_POSITIVE = tf.constant([[True, True, False, False]])
IS_VALID = tf.constant([[True, True, True, False]])


def loss_of(deltas, weights=WEIGHTS, beta=0.0, is_positive=IS_POSITIVE, is_valid=IS_VALID):
    return box_loss(deltas, CLASSES, ROIS, BOXES, is_positive, is_valid, weights, beta)


def test_class_loss_known_values_and_padding():
    logits = tf.constant([[[0.0, 0, 0, 0], [4.0, 0, 0, 0], [0, 0, 0, np.log(3.0)], [9.0, 0, 0, 0]]])
    expected = np.log(4) + np.log(np.exp(4) + 3) - 4 + np.log(2)
    loss = class_loss(logits, CLASSES, IS_VALID)
    np.testing.assert_allclose(loss, expected / 3, rtol=1e-5)
    np.testing.assert_allclose(
        class_loss(logits[:, :3], CLASSES[:, :3], IS_VALID[:, :3]), loss, rtol=1e-6
    )
    assert float(class_loss(logits, CLASSES, tf.zeros([1, 4], tf.bool))) == 0.0
    # The mean is over the RoIs of the batch, not over the images' means.
    two = class_loss(
        tf.concat([logits, logits], axis=0),
        tf.concat([CLASSES, CLASSES], axis=0),
        tf.concat([IS_VALID, tf.constant([[True, False, False, False]])], axis=0),
    )
    np.testing.assert_allclose(two, (expected + np.log(4)) / 4, rtol=1e-5)


def test_box_loss_known_values():
    deltas = tf.zeros([1, 4, NUM_CLASSES, 4])
    # 10 dx = 1 for the first; see test_rpn for the second, here times 10, 10, 5, 5. Over three.
    expected = 1.0 + 0.5 + 1.5 - 5 * np.log(0.9) + 5 * np.log(1.1)
    np.testing.assert_allclose(loss_of(deltas), expected / 3, rtol=1e-5)
    quadratic = 0.5 * 1 + 0.5 * 0.25 + 1.0 + 0.5 * 25 * (np.log(0.9) ** 2 + np.log(1.1) ** 2)
    np.testing.assert_allclose(loss_of(deltas, beta=1.0), quadratic / 3, rtol=1e-5)
    wanted = encode_boxes(BOXES, ROIS, WEIGHTS)
    perfect = tf.tile(wanted[:, :, None, :], [1, 1, NUM_CLASSES, 1])
    assert float(loss_of(perfect)) < 1e-5


def test_box_loss_without_positives_or_without_anything_is_zero():
    deltas, none = tf.ones([1, 4, NUM_CLASSES, 4]), tf.zeros([1, 4], tf.bool)
    assert float(loss_of(deltas, is_positive=none)) == 0.0
    assert float(loss_of(deltas, is_positive=none, is_valid=none)) == 0.0


def test_only_the_deltas_of_the_true_class_learn():
    deltas = tf.zeros([1, 4, NUM_CLASSES, 4])
    with tf.GradientTape() as tape:
        tape.watch([deltas, ROIS, BOXES])
        loss = loss_of(deltas)
    to_deltas, to_rois, to_boxes = tape.gradient(loss, [deltas, ROIS, BOXES])
    assert to_rois is None and to_boxes is None
    learns = np.abs(tf.convert_to_tensor(to_deltas)[0]).sum(axis=-1) > 0  # [S, K]
    expected = np.zeros((4, NUM_CLASSES), bool)
    expected[0, 2] = expected[1, 0] = True
    np.testing.assert_array_equal(learns, expected)


def test_class_agnostic_deltas_serve_every_class():
    by_class = tf.random.stateless_normal([1, 4, 1, 4], [0, 1])
    np.testing.assert_allclose(
        loss_of(by_class), loss_of(tf.tile(by_class, [1, 1, NUM_CLASSES, 1])), rtol=1e-6
    )
