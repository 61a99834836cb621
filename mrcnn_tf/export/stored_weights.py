"""The variables of an exported model: folded, and in the type they are stored in."""

import contextlib
from collections.abc import Iterator

import keras
import tensorflow as tf

from mrcnn_tf.layers.conv_norm import ConvNorm, stored_folds

WEIGHTS_DTYPES = ("float32", "bfloat16")


class StoredWeights:
    """What an exported graph reads in place of a model's own variables.

    Normalisations that follow a `ConvNorm`'s convolution are folded into it: one kernel and one
    shift are stored for five variables, and no run computes their product. In `"bfloat16"` kernels
    are stored with half the bytes and become float32 when they are read; vectors, such as shifts
    and the statistics of other normalisations, stay float32. The arithmetic is the same in both.

    Args:
        model: a `MaskRCNN`.
        dtype: of the kernels, `"float32"` or `"bfloat16"`.

    Attributes:
        variables: what there is to store.

    Raises:
        ValueError: the type is neither.

    Example:

    ```python
    weights = StoredWeights(model, "bfloat16")
    function = trace_model(model, spec, weights=weights)
    ```
    """

    def __init__(self, model: keras.Model, dtype: str = "float32"):
        if dtype not in WEIGHTS_DTYPES:
            raise ValueError(
                f"weights_dtype must be one of {', '.join(WEIGHTS_DTYPES)}; got {dtype!r}."
            )
        self._dtype = tf.as_dtype(dtype)
        self._folds, in_folds = {}, set()
        for layer in model._flatten_layers():
            if isinstance(layer, ConvNorm) and layer.is_affine(training=False):
                self._folds[layer] = tuple(self._stored(value) for value in layer.folded())
                in_folds.update(id(weight) for weight in layer.weights)
        self._replaced, kept = [], []
        for weight in model.weights:
            if id(weight) in in_folds:
                continue
            if self._type_of(weight.value) == weight.value.dtype:
                kept.append(weight.value)
            else:
                self._replaced.append((weight, self._stored(weight.value)))
        self.variables = [
            *kept,
            *(variable for _, variable in self._replaced),
            *(variable for fold in self._folds.values() for variable in fold),
        ]

    @contextlib.contextmanager
    def used(self) -> Iterator[None]:
        """Inside a function that is being traced, the model reads these variables."""
        mapping = [(weight, tf.cast(value, weight.dtype)) for weight, value in self._replaced]
        with stored_folds(self._folds), contextlib.ExitStack() as stack:
            if mapping:
                stack.enter_context(keras.StatelessScope(state_mapping=mapping))
            yield

    def _type_of(self, value) -> tf.DType:
        return self._dtype if value.dtype == tf.float32 and value.shape.rank > 1 else value.dtype

    def _stored(self, value) -> tf.Variable:
        value = tf.convert_to_tensor(value)
        return tf.Variable(tf.cast(value, self._type_of(value)), trainable=False)
