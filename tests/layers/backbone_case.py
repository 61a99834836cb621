"""What has to hold for every backbone."""

import numpy as np
import tensorflow as tf


def check_shapes(backbone, height: int, width: int) -> None:
    """Every output is the input divided by its stride, rounded up, and no output is dead."""
    outputs = backbone(tf.random.stateless_normal([2, height, width, 3], [0, 1]))
    for output, stride, channels in zip(
        outputs, backbone.strides, backbone.out_channels, strict=True
    ):
        assert output.shape == (2, -(-height // stride), -(-width // stride), channels)
        assert np.isfinite(output).all() and np.ptp(output) > 0


def check_freezing(make) -> None:
    """Stages freeze one after the other, and what is frozen has no gradient.

    Args:
        make: builds the backbone for a number of frozen stages.
    """
    images = tf.random.stateless_normal([1, 32, 32, 3], [0, 1])
    whole = make(0)
    backbones = [make(k) for k in range(6)]
    trained = [len(backbone.trainable_weights) for backbone in backbones]
    assert trained[0] == len(whole.trainable_weights) and trained[5] == 0
    assert trained[0] - len(whole.stem.trainable_weights) == trained[1]
    assert sorted(set(trained), reverse=True) == trained

    for frozen_stages in (1, 3, 5):
        backbone = backbones[frozen_stages]
        backbone.set_weights(whole.get_weights())
        stem = backbone.stem.weights[0].value
        with tf.GradientTape(persistent=True) as tape:
            tape.watch([images, stem])
            outputs = backbone(images, training=True)
            loss = tf.add_n([tf.reduce_sum(output) for output in outputs])
        assert tape.gradient(loss, [images, stem]) == [None, None]
        gradients = tape.gradient(loss, backbone.trainable_variables)
        assert all(np.isfinite(g).all() and np.any(g) for g in gradients)
        for output, expected in zip(outputs, whole(images), strict=True):
            np.testing.assert_array_equal(output, expected)

        backbone.trainable = False
        assert backbone.trainable_weights == []
        backbone.trainable = True
        assert len(backbone.trainable_weights) == trained[0]
