import numpy as np
import pytest
import tensorflow as tf

from mrcnn_tf.layers.conv_norm import ConvNorm
from mrcnn_tf.layers.normalization import FrozenBatchNormalization, build_normalization
from tests.layers.layer_case import check_layer

INPUTS = tf.random.stateless_normal([2, 7, 6, 8], [0, 1])


def randomise(layer) -> None:
    generator = np.random.default_rng(0)
    layer.set_weights([generator.uniform(0.5, 1.5, w.shape) for w in layer.weights])


def test_frozen_statistics():
    check_layer(
        lambda **kwargs: FrozenBatchNormalization(8, epsilon=1e-3, **kwargs),
        [INPUTS],
        num_weights=4,
        mixed_dtypes=["bfloat16"],
    )
    layer = FrozenBatchNormalization(8, epsilon=0.1)
    randomise(layer)
    gamma, beta, mean, variance = layer.get_weights()
    expected = (INPUTS.numpy() - mean) / np.sqrt(variance + 0.1) * gamma + beta
    before = layer.get_weights()
    np.testing.assert_allclose(layer(INPUTS, training=True), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(before, layer.get_weights())

    # Not even a model that is thawed as a whole trains it.
    layer.trainable = True
    assert layer.trainable_weights == []


def test_kinds():
    trainable = build_normalization("batch_norm", 8, 1e-3, 0.99)
    assert (trainable.epsilon, trainable.momentum) == (1e-3, 0.99)
    assert [len(trainable.trainable_weights), len(trainable.weights)] == [2, 4]
    assert build_normalization("frozen_batch_norm", 8, 1e-3).epsilon == 1e-3
    with pytest.raises(ValueError, match="norm='group'.*frozen_batch_norm, batch_norm"):
        build_normalization("group", 8, 1e-3)


@pytest.mark.parametrize("norm", ["frozen_batch_norm", "batch_norm"])
@pytest.mark.parametrize("depthwise", [False, True])
def test_conv_norm_is_the_three_in_turn(norm, depthwise):
    layer = ConvNorm(8, 8, 3, 2, depthwise=depthwise, activation="relu6", norm=norm)
    randomise(layer)

    def in_turn():
        padded = tf.pad(INPUTS, [[0, 0], [1, 1], [1, 1], [0, 0]])
        if depthwise:
            features = tf.nn.depthwise_conv2d(padded, layer.kernel, [1, 2, 2, 1], "VALID")
        else:
            features = tf.nn.conv2d(padded, layer.kernel, 2, "VALID")
        return tf.nn.relu6(layer.normalization(features, training=False))

    results = []
    for function in (lambda: layer(INPUTS, training=False), in_turn):
        with tf.GradientTape() as tape:
            tape.watch(INPUTS)
            outputs = function()
            loss = tf.reduce_sum(outputs**2)
        results.append([outputs, *tape.gradient(loss, [INPUTS, layer.kernel])])
    assert np.ptp(results[0][0]) > 1
    for first, second in zip(*results, strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-3, atol=1e-3)


def test_conv_norm_as_a_layer():
    check_layer(
        lambda **kwargs: ConvNorm(8, 4, 3, 2, padding="same", activation="relu", **kwargs),
        [INPUTS],
        num_weights=5,
        mixed_dtypes=["bfloat16"],
    )
    for arguments, message in (
        ({"padding": "valid"}, "padding='valid'"),
        ({"activation": "swish"}, "activation='swish'"),
        ({"depthwise": True}, "keeps its 8 channels; got out_channels=4"),
    ):
        with pytest.raises(ValueError, match=message):
            ConvNorm(8, 4, 3, **arguments)
