import numpy as np
import tensorflow as tf

from mrcnn_tf.boxes import encode_boxes
from mrcnn_tf.losses import Samples, rpn_labels, rpn_losses

ANCHORS = tf.constant([[0.0, 0, 10, 10], [20.0, 0, 40, 10], [0.0, 40, 20, 60], [60.0, 60, 70, 70]])
BOXES = tf.constant([[[1.0, 0, 11, 10], [22.0, 1, 40, 12], [0.0, 0, 0, 0]]])


def samples(indices, positives, valid=None):
    valid = [True] * len(indices) if valid is None else valid
    return Samples(*(tf.constant([row]) for row in (indices, positives, valid)))


def log1pexp(x):
    return np.log1p(np.exp(x))


def test_known_values():
    logits = tf.constant([[2.0, -1.0, 0.5, 7.0]])
    deltas = tf.zeros([1, 4, 4])
    matches = tf.constant([[0, 1, 0, 0]])
    chosen = samples([1, 0, 2], [True, True, False])
    objectness, box = rpn_losses(logits, deltas, ANCHORS, matches, chosen, BOXES, beta=0.0)
    np.testing.assert_allclose(
        objectness, (log1pexp(1.0) + log1pexp(-2.0) + log1pexp(0.5)) / 3, rtol=1e-5
    )
    # Anchor 0: dx = 1 / 10. Anchor 1: 20 x 10 at (30, 5) to 18 x 11 at (31, 6.5). Both over three
    # anchors, positive or not.
    expected = 0.1 + 1 / 20 + 1.5 / 10 - np.log(0.9) + np.log(1.1)
    np.testing.assert_allclose(box, expected / 3, rtol=1e-5)
    perfect = encode_boxes(tf.gather(BOXES[0], matches[0]), ANCHORS)[None]
    assert float(rpn_losses(logits, perfect, ANCHORS, matches, chosen, BOXES)[1]) < 1e-12


def test_rows_that_are_not_valid_count_for_nothing():
    logits, deltas = tf.constant([[2.0, -1.0, 0.5, 7.0]]), tf.ones([1, 4, 4])
    matches = tf.constant([[0, 1, 0, 0]])
    short = samples([1, 3], [True, False])
    padded = samples([1, 3, 0, 0], [True, False, False, False], [True, True, False, False])
    for a, b in zip(
        rpn_losses(logits, deltas, ANCHORS, matches, short, BOXES),
        rpn_losses(logits, deltas, ANCHORS, matches, padded, BOXES),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=1e-6)
    nothing = samples([0, 0], [False, False], [False, False])
    losses = rpn_losses(logits, deltas, ANCHORS, matches, nothing, BOXES)
    assert [float(loss) for loss in losses] == [0.0, 0.0]


def test_gradients_go_to_the_outputs_and_not_to_coordinates():
    logits, deltas = tf.constant([[2.0, -1.0, 0.5, 7.0]]), tf.zeros([1, 4, 4])
    watched = [logits, deltas, ANCHORS, BOXES]
    with tf.GradientTape() as tape:
        tape.watch(watched)
        losses = rpn_losses(
            logits,
            deltas,
            ANCHORS,
            tf.constant([[0, 1, 0, 0]]),
            samples([1, 2], [True, False]),
            BOXES,
        )
        total = tf.add_n(losses)
    to_logits, to_deltas, to_anchors, to_boxes = tape.gradient(total, watched)
    assert to_anchors is None and to_boxes is None
    np.testing.assert_array_equal(tf.convert_to_tensor(to_logits)[0] != 0, [0, 1, 1, 0])
    by_anchor = np.abs(tf.convert_to_tensor(to_deltas)[0]).sum(axis=-1)
    np.testing.assert_array_equal(by_anchor > 0, [0, 1, 0, 0])  # of negatives, only the logit


def test_anchors_centred_on_padding_are_ignored():
    targets = {
        "boxes": tf.tile(BOXES, [2, 1, 1]),
        "classes": tf.constant([[0, 0, -1]] * 2),
        "is_crowd": tf.zeros([2, 3], tf.bool),
    }
    sizes = tf.constant([[64, 64], [50, 30]])  # the second image ends at x = 30, y = 50
    labels, matches = rpn_labels(ANCHORS, targets, sizes, 0.7, 0.3)
    assert labels.numpy().tolist() == [[1, 1, 0, -1], [1, -1, -1, -1]]
    assert matches[0, :2].numpy().tolist() == [0, 1]
