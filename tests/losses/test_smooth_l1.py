import numpy as np
import tensorflow as tf

from mrcnn_tf.losses import smooth_l1


def test_quadratic_below_beta_and_linear_above():
    differences = tf.constant([0.1, -0.5, 1.0, -3.0])
    targets = tf.constant([1.0, 2.0, 3.0, 4.0])
    for beta, expected in [
        (1.0, 0.005 + 0.125 + 0.5 + 2.5),
        (0.5, 0.01 + 0.25 + 0.75 + 2.75),
        (0.0, 0.1 + 0.5 + 1.0 + 3.0),
    ]:
        loss = smooth_l1(targets, targets + differences, beta)
        np.testing.assert_allclose(loss, expected, rtol=1e-6)
        np.testing.assert_allclose(smooth_l1(targets + differences, targets, beta), loss)


def test_gradient_is_bounded_and_continuous_where_the_parts_meet():
    beta = 1.0 / 9
    predictions = tf.constant([[0.0, 0.5 * beta, beta, 100.0]])
    with tf.GradientTape() as tape:
        tape.watch(predictions)
        loss = smooth_l1(tf.zeros([1, 4]), predictions, beta)
    assert loss.shape == (1,)
    np.testing.assert_allclose(tape.gradient(loss, predictions), [[0, 0.5, 1, 1]], rtol=1e-6)
