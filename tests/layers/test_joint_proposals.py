import numpy as np
import tensorflow as tf

from mrcnn_tf.layers import JointProposals
from tests.layers.layer_case import check_layer
from tests.layers.test_proposals import COARSE, FINE, propose, random_inputs


def test_serialisation_and_precision():
    inputs = random_inputs(2)
    check_layer(
        lambda **kwargs: JointProposals(50, 20, 0.6, **kwargs),
        [
            [tf.constant(level) for level in inputs["logits"]],
            inputs["deltas"],
            [tf.constant(level, tf.float32) for level in inputs["anchors"]],
            tf.constant([[64, 96], [96, 40]]),
        ],
        num_weights=0,
        mixed_dtypes=["float32", "float32", "int32"],
    )


def test_doubles_fall_across_levels(each_implementation):
    # Without their last row and column, FINE[1] overlaps FINE[0] with 17 x 19 of 399 pixels.
    boxes, logits, count = propose(JointProposals(10, 6, 0.7), [[[3.0, 4, 1, -2]], [[5.0, 0]]])
    assert boxes.shape == (1, 6, 4) and count.tolist() == [4]
    np.testing.assert_array_equal(logits[0], [5, 1, 0, -2, -np.inf, -np.inf])
    expected = [COARSE[0], FINE[2], [50, 0, 96, 50], FINE[3], [0] * 4, [0] * 4]
    np.testing.assert_allclose(boxes[0], expected, atol=1e-4)


def test_the_best_of_all_levels_take_part():
    logits = [[[3.0, 2.5, 1, 2]], [[5.0, 0]]]
    _, kept, count = propose(JointProposals(4, 6, 1.0), logits)
    assert count.tolist() == [4] and kept[0, :4].tolist() == [5, 3, 2.5, 2]


def test_deltas_apply_to_sides_of_one_pixel_less(each_implementation):
    deltas = [tf.constant([[[0.5, -0.25, np.log(2.0), 0.0]]])]
    anchor = [[[20.0, 20, 40, 40]]]  # 19 wide, around 29.5
    boxes, _, _ = propose(JointProposals(5, 1), [[[0.0]]], anchor, deltas)
    np.testing.assert_allclose(boxes[0, 0], [20, 15.25, 59, 35.25], atol=1e-4)


def test_a_box_outside_of_the_image_is_kept_as_its_last_column(each_implementation):
    boxes, _, count = propose(
        JointProposals(5, 2), [[[0.0]]], [[[70.0, 10, 90, 30]]], sizes=[[64, 40]]
    )
    assert count.tolist() == [1]
    np.testing.assert_allclose(boxes[0], [[39, 10, 40, 30], [0, 0, 0, 0]], atol=1e-4)
