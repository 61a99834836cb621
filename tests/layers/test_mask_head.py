import numpy as np
import tensorflow as tf

from mrcnn_tf.layers import MaskHead
from tests.layers.layer_case import check_layer, check_valid_rois

POOLED = tf.random.stateless_normal([2, 3, 6, 6, 4], [0, 1])


def test_serialisation_and_precision():
    check_layer(
        lambda **kwargs: MaskHead(4, num_classes=5, channels=8, num_convs=2, **kwargs),
        [POOLED],
        num_weights=8,
        mixed_dtypes=["float32"],
    )
    check_layer(
        lambda **kwargs: MaskHead(4, 5, channels=32, num_convs=2, norm="group_norm", **kwargs),
        [POOLED],
        num_weights=10,
        mixed_dtypes=["float32"],
    )


def test_masks_are_twice_the_pooled_size():
    assert MaskHead(4, 5, channels=8, num_convs=1)(POOLED).shape == (2, 3, 12, 12, 5)
    agnostic = MaskHead(4, 5, channels=8, num_convs=0, class_agnostic=True)
    assert agnostic(POOLED).shape == (2, 3, 12, 12, 1)
    assert len(agnostic.weights) == 4
    assert agnostic(POOLED[:, :0]).shape == (2, 0, 12, 12, 1)


def test_rows_do_not_mix():
    head = MaskHead(4, 5, channels=8, num_convs=2)
    np.testing.assert_allclose(head(POOLED)[1:, 1:], head(POOLED[1:, 1:]), atol=1e-6)


def test_batch_statistics():
    pooled = tf.random.stateless_normal([2, 5, 4, 4, 4], [0, 1])
    check_valid_rois(MaskHead(4, 5, channels=8, num_convs=2, norm="batch_norm"), pooled)


def test_convolutions_start_from_different_numbers():
    head = MaskHead(8, 5, channels=8, num_convs=2)
    first, second = (conv.kernel.numpy() for conv in head.convs)
    assert np.abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.2


def test_activations_neither_vanish_nor_explode_before_training():
    head = MaskHead(64, 2, channels=64, num_convs=4)
    features = tf.random.stateless_normal([8, 14, 14, 64], [0, 2])
    for layer in [*head.convs, head.upsample]:
        features = layer(features)
    assert 0.3 < float(tf.math.reduce_std(features)) < 3
