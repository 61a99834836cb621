from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from mrcnn_tf.losses import focal_loss, rpn_focal_loss

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.mark.parametrize("file", ["addons", "torchvision_losses"])
def test_equal_to_the_peers(file):
    golden = np.load(GOLDEN / f"{file}.npz")
    logits = tf.constant(golden["logits"])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        values = focal_loss(tf.constant(golden["labels"]), logits)
    np.testing.assert_allclose(values, golden["focal"], rtol=1e-4, atol=1e-7)
    if "focal_gradient" in golden:
        gradient = tape.gradient(values, logits)
        np.testing.assert_allclose(gradient, golden["focal_gradient"], rtol=1e-4, atol=1e-6)


def test_without_focus_it_is_weighted_cross_entropy_and_never_overflows():
    labels, logits = tf.constant([1.0, 0.0, 1.0, 0.0]), tf.constant([2.0, 2.0, -300.0, 300.0])
    entropy = tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits)
    plain = focal_loss(labels, logits, alpha=0.5, gamma=0.0)
    np.testing.assert_allclose(plain, entropy / 2, rtol=1e-6)
    np.testing.assert_allclose(focal_loss(labels, logits)[2:], [75, 225], rtol=1e-6)


def test_the_rpn_learns_from_all_anchors_but_the_ignored():
    logits = tf.constant([[0.0, 1.0, -2.0, 5.0], [3.0, 0.5, 9.0, 9.0]])
    labels = tf.constant([[1, 0, 0, -1], [1, 0, -1, -1]])
    used = labels >= 0
    values = focal_loss(tf.constant([1.0, 0, 0, 1, 0]), tf.boolean_mask(logits, used))
    np.testing.assert_allclose(rpn_focal_loss(logits, labels), tf.reduce_sum(values) / 2, rtol=1e-6)
    nothing = tf.fill([2, 4], -1)
    assert float(rpn_focal_loss(logits, nothing)) == 0
