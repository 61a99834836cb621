import numpy as np
import tensorflow as tf

from mrcnn_tf.layers import BoxHead
from tests.layers.layer_case import check_layer

POOLED = tf.random.stateless_normal([2, 5, 3, 3, 4], [0, 1])


def test_serialisation_and_precision():
    check_layer(
        lambda **kwargs: BoxHead(4, num_classes=6, pool_size=3, units=(8, 16), **kwargs),
        [POOLED],
        num_weights=8,
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


def test_rows_do_not_mix():
    head = BoxHead(4, 6, 3, units=(8,))
    for whole, part in zip(head(POOLED), head(POOLED[1:, 2:4]), strict=True):
        np.testing.assert_allclose(whole[1:, 2:4], part, atol=1e-6)
