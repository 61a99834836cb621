import numpy as np
import tensorflow as tf

from mrcnn_tf.losses import mask_loss, select_class

LOGITS = tf.random.stateless_normal([2, 3, 4, 4, 5], [0, 1])
CLASSES = tf.constant([[4, 0, 2], [1, 5, -1]])  # 5 is background, -1 padding
WEIGHTS = tf.constant([[1.0, 1, 0], [1.0, 0, 0]])
TARGETS = tf.random.stateless_uniform([2, 3, 4, 4], [0, 2])


def test_selects_the_map_of_each_row():
    chosen = select_class(LOGITS, CLASSES)
    assert chosen.shape == (2, 3, 4, 4)
    for image, row, number in [(0, 0, 4), (0, 1, 0), (1, 0, 1)]:
        np.testing.assert_allclose(chosen[image, row], LOGITS[image, row, :, :, number], rtol=1e-6)
    assert np.isfinite(chosen).all()
    np.testing.assert_array_equal(select_class(LOGITS[..., :1], CLASSES), LOGITS[..., 0])


def test_equals_cross_entropy_over_the_weighted_rows():
    total = 0.0
    for image, row, number in [(0, 0, 4), (0, 1, 0), (1, 0, 1)]:
        p = 1 / (1 + np.exp(-LOGITS[image, row, :, :, number].numpy().astype("float64")))
        t = TARGETS[image, row].numpy()
        total += -(t * np.log(p) + (1 - t) * np.log(1 - p)).mean()
    loss = mask_loss(LOGITS, CLASSES, TARGETS, WEIGHTS)
    np.testing.assert_allclose(loss, total / 3, rtol=1e-5)
    # Rows without weight may be added or left out, whatever they hold.
    fewer = mask_loss(LOGITS[:, :2], CLASSES[:, :2], TARGETS[:, :2], WEIGHTS[:, :2])
    np.testing.assert_allclose(fewer, loss, rtol=1e-6)
    assert (
        float(mask_loss(tf.zeros([1, 1, 4, 4, 5]), [[0]], tf.zeros([1, 1, 4, 4]), [[1.0]])) > 0.69
    )


def test_nothing_to_learn_is_zero():
    assert float(mask_loss(LOGITS, CLASSES, TARGETS, tf.zeros([2, 3]))) == 0.0
    empty = mask_loss(LOGITS[:, :0], CLASSES[:, :0], TARGETS[:, :0], WEIGHTS[:, :0])
    assert float(empty) == 0.0


def test_other_classes_and_rows_without_weight_get_no_gradient():
    with tf.GradientTape() as tape:
        tape.watch([LOGITS, TARGETS])
        loss = mask_loss(LOGITS, CLASSES, TARGETS, WEIGHTS)
    learns = np.abs(tape.gradient(loss, LOGITS)).sum(axis=(2, 3)) > 0  # [B, P, K]
    expected = np.zeros((2, 3, 5), bool)
    expected[0, 0, 4] = expected[0, 1, 0] = expected[1, 0, 1] = True
    np.testing.assert_array_equal(learns, expected)
