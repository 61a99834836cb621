from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from mrcnn_tf.boxes import encode_boxes
from mrcnn_tf.losses import box_regression, ciou_loss, giou_loss, smooth_l1

GOLDEN = Path(__file__).parents[1] / "golden"
WEIGHTS = (10.0, 10.0, 5.0, 5.0)


@pytest.mark.parametrize(
    ("file", "name", "loss"),
    [
        ("addons", "giou", giou_loss),
        ("torchvision_losses", "giou", giou_loss),
        ("torchvision_losses", "ciou", ciou_loss),
    ],
)
def test_equal_to_the_peers_with_gradients(file, name, loss):
    golden = np.load(GOLDEN / f"{file}.npz")
    predictions = tf.constant(golden["others"])
    with tf.GradientTape() as tape:
        tape.watch(predictions)
        values = loss(tf.constant(golden["boxes"]), predictions)
    np.testing.assert_allclose(values, golden[name], rtol=1e-5, atol=1e-6)
    gradient = tape.gradient(values, predictions)
    wanted = golden[f"{name}_gradient"]
    # Where boxes are equal, each library has its own choice among the sides' subgradients.
    differs = (golden["boxes"] != golden["others"]).all(axis=-1)
    assert differs.sum() >= 180
    np.testing.assert_allclose(gradient[differs], wanted[differs], rtol=1e-4, atol=1e-6)


def test_known_values():
    box = tf.constant([0.0, 0, 2, 2])
    apart, inside = tf.constant([4.0, 0, 6, 2]), tf.constant([0.0, 0, 2, 1])
    assert float(giou_loss(box, box)) == float(ciou_loss(box, box)) == 0
    assert float(giou_loss(box, apart)) == pytest.approx(1 + (12 - 8) / 12)
    assert float(ciou_loss(box, apart)) == pytest.approx(1 + 16 / (36 + 4))
    assert float(giou_loss(box, inside)) == pytest.approx(0.5)
    turn = 4 / np.pi**2 * (np.arctan(2) - np.arctan(1)) ** 2
    expected = 0.5 + 0.25 / 8 + turn**2 / (0.5 + turn)
    assert float(ciou_loss(box, inside)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("method", ["smooth_l1", "giou", "ciou"])
def test_perfect_deltas_cost_nothing_and_wrong_ones_lead_to_the_object(method):
    references = tf.constant([[0.0, 0, 10, 10], [20.0, 0, 40, 10], [5.0, 5, 50, 90]])
    boxes = tf.constant([[1.0, 0, 11, 10], [22.0, 1, 40, 12], [8.0, 2, 60, 70]])
    wanted = encode_boxes(boxes, references, WEIGHTS)
    values = box_regression(method, wanted, references, boxes, WEIGHTS, 1.0)
    np.testing.assert_allclose(values, np.zeros(3), atol=1e-5)
    deltas = tf.Variable(tf.zeros([3, 4]))
    optimizer = tf.keras.optimizers.Adam(0.1)
    for _ in range(150):
        with tf.GradientTape() as tape:
            tape.watch([references, boxes])
            loss = tf.reduce_sum(box_regression(method, deltas, references, boxes, WEIGHTS, 1.0))
        gradient, *others = tape.gradient(loss, [deltas, references, boxes])
        assert others == [None, None]
        optimizer.apply_gradients([(gradient, deltas)])
    np.testing.assert_allclose(deltas, wanted, atol=0.15)


def test_rows_without_area_stay_finite():
    """Padding: a RoI and an object of zeros, whose loss gets no weight but has a gradient."""
    empty, deltas = tf.zeros([1, 4]), tf.ones([1, 4])
    for method in ("smooth_l1", "giou", "ciou"):
        with tf.GradientTape() as tape:
            tape.watch(deltas)
            loss = box_regression(method, deltas, empty, empty, WEIGHTS, 1.0)
        assert np.isfinite(loss).all() and np.isfinite(tape.gradient(loss, deltas)).all()
    expected = smooth_l1(encode_boxes(empty, empty, WEIGHTS), deltas, 1.0)
    np.testing.assert_array_equal(
        box_regression("smooth_l1", deltas, empty, empty, WEIGHTS, 1.0), expected
    )
