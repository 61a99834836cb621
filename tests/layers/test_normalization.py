import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from mrcnn_tf.layers.conv_norm import ConvNorm, build_conv
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
    assert not trainable.synchronized
    assert build_normalization("sync_batch_norm", 8, 1e-3).synchronized
    with pytest.raises(ValueError, match="norm='group'.*frozen_batch_norm, batch_norm"):
        build_normalization("group", 8, 1e-3)
    with pytest.raises(ValueError, match="32 groups, into which 48 channels do not divide"):
        build_normalization("group_norm", 48, 1e-3)


def test_group_norm():
    layer = build_normalization("group_norm", 64, 1e-2, name="norm")
    assert [weight.path for weight in layer.weights] == ["norm/gamma", "norm/beta"]
    randomise(layer)
    gamma, beta = layer.get_weights()
    inputs = np.random.default_rng(1).normal(2.0, 3.0, [2, 5, 4, 64]).astype("f4")
    groups = inputs.reshape(2, 20, 32, 2)
    mean, variance = (f(groups, axis=(1, 3), keepdims=True) for f in (np.mean, np.var))
    expected = ((groups - mean) / np.sqrt(variance + 1e-2)).reshape(inputs.shape) * gamma + beta
    np.testing.assert_allclose(layer(inputs), expected, atol=1e-4)
    assert layer(inputs[:0]).shape == (0, 5, 4, 64)


def test_batch_statistics_are_of_valid_rows():
    inputs = np.random.default_rng(1).normal(2.0, 3.0, [5, 4, 3, 8]).astype("f4")
    is_valid = np.array([True, False, True, True, False])
    weights = (
        np.random.default_rng(2).normal(size=inputs.shape).astype("f4")
        * is_valid[:, None, None, None]
    )
    results = []
    for rows, valid in ((slice(None), is_valid), (is_valid, None)):
        layer = build_normalization("batch_norm", 8, 1e-3)
        features = tf.constant(inputs[rows])
        with tf.GradientTape() as tape:
            tape.watch(features)
            outputs = layer(features, is_valid=valid, training=True)
            loss = tf.reduce_sum(outputs * weights[rows])
        gradients = tape.gradient(loss, [features, layer.gamma.value, layer.beta.value])
        kept = slice(None) if valid is None else valid
        results.append([outputs[kept], gradients[0][kept], *gradients[1:], *layer.get_weights()])
    for ours, expected in zip(*results, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-4)

    # Nothing valid: nothing is learnt of the batch, and the outputs are finite.
    before = layer.get_weights()
    found = layer(inputs, is_valid=np.zeros(5, bool), training=True)
    np.testing.assert_allclose(found, layer(inputs, training=False), atol=1e-5)
    for ours, expected in zip(layer.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, expected)
    layer.trainable = False
    np.testing.assert_array_equal(
        layer(inputs, is_valid=is_valid, training=True), layer(inputs, training=False)
    )


REPLICAS = """
import numpy as np
import tensorflow as tf
from mrcnn_tf.layers.normalization import build_normalization

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["/CPU:0", "/CPU:1"])
rows = np.arange(1, 7).reshape(6, 1, 1, 1)
inputs = np.random.default_rng(0).normal(rows, rows, [6, 4, 4, 8]).astype("f4")
for is_valid in (None, np.array([True, True, False, False, False, True])):
    with strategy.scope():
        layer = build_normalization("sync_batch_norm", 8, 1e-3)

    @tf.function
    def replica():
        rows = tf.range(3) + 3 * tf.distribute.get_replica_context().replica_id_in_sync_group
        valid = None if is_valid is None else tf.gather(is_valid, rows)
        return layer(tf.gather(inputs, rows), is_valid=valid, training=True)

    outputs = np.concatenate(strategy.experimental_local_results(strategy.run(replica)))
    chosen = inputs if is_valid is None else inputs[is_valid]
    mean, variance = chosen.mean((0, 1, 2)), chosen.var((0, 1, 2))
    np.testing.assert_allclose(outputs, (inputs - mean) / np.sqrt(variance + 1e-3), atol=1e-4)
    for moving in strategy.experimental_local_results(layer.moving_mean.value):
        np.testing.assert_allclose(moving, 0.1 * mean, atol=1e-4)
print("equal")
"""


@pytest.mark.slow
def test_replicas_share_their_statistics():
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", REPLICAS]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.stdout == "equal\n", done.stderr[-2000:]


@pytest.mark.parametrize(
    "norm, depthwise",
    [
        ("frozen_batch_norm", False),
        ("frozen_batch_norm", True),
        ("batch_norm", False),
        ("sync_batch_norm", True),
    ],
)
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
        sources = [INPUTS, layer.kernel.value, *(w.value for w in layer.trainable_weights)]
        results.append([outputs, *tape.gradient(loss, sources)])
    assert np.ptp(results[0][0]) > 1
    for first, second in zip(*results, strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    "norm, channels, num_weights",
    [("frozen_batch_norm", 4, 5), ("batch_norm", 4, 5), ("group_norm", 32, 3)],
)
def test_conv_norm_as_a_layer(norm, channels, num_weights):
    options = {"padding": "same", "activation": "relu", "norm": norm}
    check_layer(
        lambda **kwargs: ConvNorm(8, channels, 3, 2, **options, **kwargs),
        [INPUTS],
        num_weights=num_weights,
        mixed_dtypes=["bfloat16"],
    )


def test_statistics_of_a_conv_norm_follow_training():
    layer = ConvNorm(8, 4, 3, norm="batch_norm", dtype="mixed_bfloat16")
    before = layer.get_weights()
    layer(INPUTS)
    layer(INPUTS, training=False)
    for ours, expected in zip(layer.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, expected)
    outputs = tf.cast(layer(INPUTS, training=True), tf.float32)
    assert np.abs(np.mean(outputs, axis=(0, 1, 2))).max() < 0.01
    assert not np.array_equal(layer.normalization.moving_mean, before[3])


def test_convolution_with_norm_or_with_bias():
    plain = build_conv(8, 4, 3, activation="relu", name="conv1")
    assert isinstance(plain, keras.layers.Conv2D)
    assert [weight.path for weight in plain.weights] == ["conv1/kernel", "conv1/bias"]
    normed = build_conv(8, 4, 3, "batch_norm", kernel_initializer="zeros", name="conv1")
    assert [w.path for w in normed.weights][:2] == ["conv1/kernel", "conv1/norm/gamma"]
    assert len(normed.weights) == 5 and not np.any(normed.kernel)


def test_bad_arguments_of_conv_norm():
    for arguments, message in (
        ({"padding": "valid"}, "padding='valid'"),
        ({"activation": "swish"}, "activation='swish'"),
        ({"depthwise": True}, "keeps its 8 channels; got out_channels=4"),
    ):
        with pytest.raises(ValueError, match=message):
            ConvNorm(8, 4, 3, **arguments)
