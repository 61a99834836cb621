"""Shape and finiteness helpers that every op needs."""

import tensorflow as tf


def dimensions(tensor: tf.Tensor) -> list:
    """The dimensions of a tensor: ints where they are known, scalar int32 tensors elsewhere."""
    dynamic = tf.shape(tensor)
    return [dynamic[i] if size is None else size for i, size in enumerate(tensor.shape)]


def finite(tensor: tf.Tensor) -> tf.Tensor:
    """True where a float is neither infinite nor NaN.

    A comparison rather than `tf.math.is_finite`, which LiteRT has no built-in for.
    """
    return tf.abs(tensor) <= tensor.dtype.max


def check_rank(name: str, tensor: tf.Tensor, *ranks: int, last: int | None = None) -> None:
    """Raises a ValueError that names the argument if its static shape cannot be right."""
    shape = tensor.shape
    if shape.rank is not None and shape.rank in ranks:
        if last is None or shape[-1] in (None, last):
            return
        raise ValueError(f"{name} must end in a dimension of {last}, got shape {shape}")
    expected = " or ".join(str(rank) for rank in ranks)
    raise ValueError(f"{name} must have {expected} dimensions, got shape {shape}")


def gather_rows(rows: tf.Tensor, indices: tf.Tensor) -> tf.Tensor:
    """`tf.gather(rows, indices, batch_dims=1)`, as a gather from all rows laid end to end.

    OpenVINO crashes on the former when it knows the shapes.

    Args:
        rows: `[B, N, ...]`.
        indices: `[B, M]` int32, each below N.

    Returns:
        `[B, M, ...]`.
    """
    batch, count, *rest = dimensions(rows)
    first = tf.range(batch)[:, None] * count
    return tf.gather(tf.reshape(rows, [-1, *rest]), indices + first)


def one_hot(indices: tf.Tensor, depth: int, dtype: tf.DType) -> tf.Tensor:
    """`tf.one_hot(indices, depth, dtype=dtype)` of int32, as a comparison.

    TensorFlow.js in WebAssembly writes the ones of the former as integers, whatever the dtype.
    """
    return tf.cast(indices[..., None] == tf.range(depth), dtype)
