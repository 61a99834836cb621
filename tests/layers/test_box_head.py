import numpy as np
import tensorflow as tf

from mrcnn_tf.layers import BoxHead
from tests.layers.layer_case import check_layer, check_valid_rois

POOLED = tf.random.stateless_normal([2, 5, 3, 3, 4], [0, 1])


def test_serialisation_and_precision():
    check_layer(
        lambda **kwargs: BoxHead(4, num_classes=6, pool_size=3, units=(8, 16), **kwargs),
        [POOLED],
        num_weights=8,
        mixed_dtypes=["float32"] * 2,
    )
    sizes = {"pool_size": 3, "units": (8,), "conv_channels": (32, 64)}
    for norm, num_weights in ((None, 10), ("group_norm", 12), ("sync_batch_norm", 16)):
        check_layer(
            lambda norm=norm, **kwargs: BoxHead(4, num_classes=6, norm=norm, **sizes, **kwargs),
            [POOLED],
            num_weights=num_weights,
            mixed_dtypes=["float32"] * 2,
        )


def test_shapes_by_class_and_class_agnostic():
    logits, deltas = BoxHead(4, num_classes=6, pool_size=3, units=(8,))(POOLED)
    assert logits.shape == (2, 5, 7) and deltas.shape == (2, 5, 6, 4)
    logits, deltas = BoxHead(4, 6, 3, units=(8,), class_agnostic=True)(POOLED)
    assert logits.shape == (2, 5, 7) and deltas.shape == (2, 5, 1, 4)
    linear = BoxHead(4, 6, 3, units=())
    assert linear(POOLED)[0].shape == (2, 5, 7) and len(linear.weights) == 4
    assert linear(POOLED[:, :0])[1].shape == (2, 0, 6, 4)


def test_convolutions_come_before_the_hidden_layers():
    head = BoxHead(4, 6, 3, units=(8,), conv_channels=(5, 7))
    assert [tuple(layer.kernel.shape) for layer in [*head.convs, *head.hidden]] == [
        (3, 3, 4, 5),
        (3, 3, 5, 7),
        (3 * 3 * 7, 8),
    ]
    features = tf.reshape(POOLED, [10, 3, 3, 4])
    for layer in head.convs:
        features = tf.nn.relu(tf.nn.conv2d(features, layer.kernel, 1, "SAME") + layer.bias)
    hidden = head.hidden[0](tf.reshape(features, [10, -1]))
    np.testing.assert_allclose(
        head(POOLED)[0], tf.reshape(head.logits(hidden), [2, 5, 7]), atol=1e-5
    )


def test_batch_statistics():
    check_valid_rois(BoxHead(4, 6, 3, units=(8,), conv_channels=(5, 7), norm="batch_norm"), POOLED)


def test_rows_do_not_mix():
    for options in ({}, {"conv_channels": (32,), "norm": "group_norm"}):
        head = BoxHead(4, 6, 3, units=(8,), **options)
        for whole, part in zip(head(POOLED), head(POOLED[1:, 2:4]), strict=True):
            np.testing.assert_allclose(whole[1:, 2:4], part, atol=1e-6)
