import keras
import numpy as np
import pytest
import tensorflow as tf

from mrcnn_tf.export.serving import trace_model
from mrcnn_tf.export.stored_weights import StoredWeights
from mrcnn_tf.layers.conv_norm import ConvNorm

from .conftest import blocks


class Convolutions(keras.Model):
    """Every kind of unit, with statistics that are not the identity's."""

    def __init__(self):
        super().__init__()
        self.units = [
            ConvNorm(3, 32, 3, activation="relu"),
            ConvNorm(32, 32, 3, norm="batch_norm", strides=2),
            ConvNorm(32, 32, 3, norm="group_norm"),
            ConvNorm(32, 32, 3, depthwise=True, epsilon=1e-3),
            ConvNorm(32, 8, 1),
        ]
        self.last = keras.layers.Conv2D(4, 1)
        self.last.build((None, None, None, 8))
        self.built = True
        generator = np.random.default_rng(0)
        for weight in self.weights:
            if len(weight.shape) == 1:
                weight.assign(generator.uniform(0.5, 1.5, weight.shape))

    def call(self, inputs, training=False):
        features = inputs["images"] / 100.0
        for unit in self.units:
            features = unit(features, training=training)
        return {"features": self.last(features)}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_graph_of_stored_weights_equals_the_model(dtype):
    model = Convolutions()
    images = tf.constant(blocks(2, 24, 40), tf.float32)
    sizes = tf.constant([[24, 40]] * 2)
    expected = model({"images": images})["features"].numpy()

    weights = StoredWeights(model, dtype)
    spec = tf.TensorSpec([None, None, None, 3], tf.float32)
    function = trace_model(model, spec, weights=weights)
    found = function(images, sizes)["features"].numpy()
    error = np.abs(found - expected).max() / expected.std()
    assert error < (1e-5 if dtype == "float32" else 0.05)

    # Four are folded into two variables each, one keeps its three, and the last its two.
    assert len(weights.variables) == 4 * 2 + 3 + 2
    assert {id(variable) for variable in function.variables} == {
        id(variable) for variable in weights.variables
    }
    for variable in weights.variables:
        assert variable.dtype == (dtype if variable.shape.rank > 1 else "float32")
    # Nothing is left to multiply at run time but the groups' own affine map.
    kinds = [operation.type for operation in function.graph.get_operations()]
    unfolded = trace_model(model, spec).graph.get_operations()
    assert kinds.count("Rsqrt") < [operation.type for operation in unfolded].count("Rsqrt")
    # The model is as it was.
    np.testing.assert_array_equal(model({"images": images})["features"], expected)


def test_another_type():
    with pytest.raises(ValueError, match="weights_dtype must be one of float32, bfloat16"):
        StoredWeights(Convolutions(), "int8")
