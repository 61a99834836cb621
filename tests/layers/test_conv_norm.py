import os
import subprocess
import sys

import numpy as np
import tensorflow as tf

from mrcnn_tf.layers.conv_norm import ConvNorm


def check_gradients_of_strided_pointwise_convolutions():
    """Where oneDNN's own gradient corrupts the memory or is wrong, depending on the CPU."""
    rng = np.random.default_rng(0)
    for batch, channels in ((1, 1), (1, 4), (2, 7), (3, 8), (1, 15), (3, 16)):
        layer = ConvNorm(channels, 16, 1, strides=2)
        inputs = tf.constant(rng.normal(size=(batch, 32, 48, channels)), tf.float32)
        weights = tf.constant(rng.normal(size=(batch, 16, 24, 16)), tf.float32)

        @tf.function
        def gradients(inputs, weights, layer=layer):
            with tf.GradientTape() as tape:
                tape.watch(inputs)
                outputs = layer(inputs)
                total = tf.reduce_sum(outputs * weights)
            return outputs, *tape.gradient(total, (layer.kernel, inputs))

        for _ in range(10):
            outputs, of_kernel, of_inputs = gradients(inputs, weights)
        # The weights of a new normalisation leave values as they are, but for epsilon.
        scale = (1 + layer.epsilon) ** -0.5
        kernel, cells = layer.kernel.numpy()[0, 0], inputs.numpy()[:, ::2, ::2]
        expected = scale * np.einsum("bhwi,bhwo->io", cells, weights)
        np.testing.assert_allclose(of_kernel[0, 0], expected, atol=1e-4 * np.abs(expected).max())
        np.testing.assert_allclose(outputs, scale * cells @ kernel, atol=1e-5)
        expected = np.zeros(inputs.shape)
        expected[:, ::2, ::2] = scale * weights.numpy() @ kernel.T
        np.testing.assert_allclose(of_inputs, expected, atol=1e-5)


def test_strided_pointwise_convolutions_of_few_channels_can_be_trained():
    # In a process of its own: what fails here is a segmentation fault.
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-m", __name__],
        env={**os.environ, "TF_ENABLE_ONEDNN_OPTS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


if __name__ == "__main__":
    check_gradients_of_strided_pointwise_convolutions()
