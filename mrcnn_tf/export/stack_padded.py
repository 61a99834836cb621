"""Tensors of different sizes, computed one after the other, in one padded tensor."""

from collections.abc import Callable

import tensorflow as tf


def stack_padded(
    function: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]],
    count: tf.Tensor,
    spec: tf.TensorSpec,
    numbers: int,
) -> tuple[tf.Tensor, tf.Tensor]:
    """What a function gives for 0, 1, ... in one tensor, padded with zeros to the largest.

    `tf.map_fn` wants one shape of all; ragged tensors would cut images into rows.

    Args:
        function: of a scalar int32, which gives a tensor that fits `spec` and int32 numbers
            `[numbers]` about it.
        count: how many there are.
        spec: dtype and shape of one of them; None for dimensions that differ.
        numbers: how many numbers there are about each.

    Returns:
        `[count, *shape]` and `[count, numbers]`.
    """
    values = tf.TensorArray(spec.dtype, count, element_shape=spec.shape, infer_shape=False)
    notes = tf.TensorArray(tf.int32, count, element_shape=[numbers])

    def step(index, values, notes, largest):
        value, note = function(index)
        largest = tf.maximum(largest, tf.shape(value))
        return index + 1, values.write(index, value), notes.write(index, note), largest

    start = (0, values, notes, tf.zeros([spec.shape.rank], tf.int32))
    _, values, notes, largest = tf.while_loop(lambda index, *_: index < count, step, start)

    def padded(index):
        value = values.read(index)
        return tf.pad(value, tf.stack([tf.zeros_like(largest), largest - tf.shape(value)], axis=1))

    stacked = tf.map_fn(
        padded, tf.range(count), fn_output_signature=tf.TensorSpec(spec.shape, spec.dtype)
    )
    return stacked, notes.stack()
