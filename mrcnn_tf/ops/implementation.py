"""Chooses between the compiled ops and their twins in plain TensorFlow."""

import contextlib
from collections.abc import Iterator

from mrcnn_tf.ops import loader

IMPLEMENTATIONS = ("plain", "compiled")

# One value for the process rather than one for each thread: tf.distribute traces each replica in a
# thread of its own, and all of them have to see the same choice.
_chosen: str | None = None


@contextlib.contextmanager
def implementation(name: str) -> Iterator[None]:
    """Makes the ops that are traced inside the block plain or compiled.

    The choice is read when a `tf.function` is traced, not when it runs: a function that was traced
    before keeps its ops. Without this block the compiled ops are used wherever they are available.
    Stock TF Serving, LiteRT and TF.js link no op of this package, so exporters trace a new
    `tf.function` under `implementation("plain")`. The choice holds for the whole process.

    Args:
        name: `"plain"` or `"compiled"`.

    Raises:
        ValueError: another name.
        OpsUnavailableError: `"compiled"` where the compiled ops cannot be used.

    Example:

    ```python
    import tensorflow as tf
    from mrcnn_tf.ops import implementation, roi_align

    boxes = tf.constant([[[0.0, 0.0, 32.0, 32.0]]])
    with implementation("plain"):
        pooled = roi_align([tf.ones([1, 16, 16, 8])], boxes, 7, strides=[4])  # [1, 1, 7, 7, 8]
    ```
    """
    global _chosen
    if name not in IMPLEMENTATIONS:
        raise ValueError(f"implementation must be one of {IMPLEMENTATIONS}, got {name!r}")
    if name == "compiled":
        loader.load(required=True)
    before, _chosen = _chosen, name
    try:
        yield
    finally:
        _chosen = before


def compiled_ops():
    """The module of compiled ops if they are to be used here and now, else None."""
    return None if _chosen == "plain" else loader.load()


def compiled_kernels():
    """The module of kernels on NumPy arrays if it is to be used here and now, else None.

    It is built and chosen together with the ops, though it needs no TensorFlow.
    """
    if compiled_ops() is None:
        return None
    from mrcnn_tf import kernels

    return kernels
