import numpy as np
import pytest
import tensorflow as tf

from mrcnn_tf.ops.shapes import gather_rows


@pytest.mark.parametrize("rest", [(), (4,), (2, 3)])
def test_gather_rows_is_a_gather_within_each_image(rest):
    rng = np.random.default_rng(0)
    rows = tf.constant(rng.normal(size=(3, 7, *rest)), tf.float32)
    indices = tf.constant(rng.integers(0, 7, (3, 5)), tf.int32)
    expected = tf.gather(rows, indices, batch_dims=1)
    tf.debugging.assert_equal(gather_rows(rows, indices), expected)

    signature = [tf.TensorSpec([None, None, *rest]), tf.TensorSpec([None, None], tf.int32)]
    open_shapes = tf.function(gather_rows, input_signature=signature)
    tf.debugging.assert_equal(open_shapes(rows, indices), expected)
    assert open_shapes(rows[:, :0], indices[:, :0]).shape == (3, 0, *rest)
    assert open_shapes(rows[:0], indices[:0]).shape == (0, 5, *rest)


def test_gather_rows_sends_gradients_back():
    rows = tf.constant([[[1.0], [2.0]], [[3.0], [4.0]]])
    with tf.GradientTape() as tape:
        tape.watch(rows)
        chosen = gather_rows(rows, tf.constant([[1, 1], [0, 1]])) * [[[1.0], [2.0]], [[5.0], [7.0]]]
    np.testing.assert_array_equal(tape.gradient(chosen, rows), [[[0], [3]], [[5], [7]]])
