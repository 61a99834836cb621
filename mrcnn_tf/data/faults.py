"""Faults of the data that TensorFlow reports from inside a pipeline."""

import re

import tensorflow as tf

# TensorFlow gives the Python traceback as text; its last line has the exception and its message.
_LAST_LINE = re.compile(r"^(?:mrcnn_tf\.data\.\w+\.\w+|ValueError): (.+)$", re.MULTILINE)


def as_data_fault(error: tf.errors.OpError) -> ValueError | None:
    """The fault of the data behind an error of `fit` or of iterating over a dataset.

    An exception inside a `tf.data` pipeline reaches the caller as a TensorFlow error whose text
    holds a traceback and names of internal nodes.

    Args:
        error: what was caught.

    Returns:
        A ValueError with the one sentence that names the file and the remedy, or None if the
        error came from elsewhere.
    """
    found = _LAST_LINE.findall(error.message)
    return ValueError(found[-1]) if found and "mrcnn_tf" in error.message else None
