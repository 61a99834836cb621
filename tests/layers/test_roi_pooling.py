import numpy as np
import pytest
import tensorflow as tf

from mrcnn_tf.layers import RoIPooling
from mrcnn_tf.ops import roi_align
from tests.layers.layer_case import check_layer

PYRAMID = [
    tf.random.stateless_normal([2, 16, 16, 4], [0, 1]),
    tf.random.stateless_normal([2, 8, 8, 4], [0, 2]),
]
BOXES = tf.constant([[[3.3, 4, 30, 20], [0, 0, 64, 64]], [[10, 10, 12.5, 60], [0, 0, 0, 0.0]]])


@pytest.mark.parametrize("output_size", [3, (2, 5)])
def test_serialisation_and_precision(output_size):
    check_layer(
        lambda **kwargs: RoIPooling(output_size, (4, 8), canonical_size=112, **kwargs),
        [PYRAMID, BOXES],
        num_weights=0,
        mixed_dtypes=["float32"],  # follows the pyramid, which is float32 here
    )


def test_arguments_reach_the_operation():
    arguments = {"sampling_ratio": 1, "aligned": False, "canonical_size": 48.0}
    pooled = RoIPooling((2, 3), (4, 8), **arguments)(PYRAMID, BOXES)
    np.testing.assert_array_equal(pooled, roi_align(PYRAMID, BOXES, (2, 3), [4, 8], **arguments))
    for other in ({"sampling_ratio": 2}, {"aligned": True}, {"canonical_size": 500.0}):
        changed = RoIPooling((2, 3), (4, 8), **{**arguments, **other})(PYRAMID, BOXES)
        assert np.abs(changed - pooled).max() > 1e-3


def test_half_precision_features_with_exact_boxes():
    # 1333 is not a bfloat16; a rounded box would read another column.
    columns = tf.tile(tf.range(400.0)[None, None, :, None], [1, 8, 1, 1])
    box = tf.constant([[[1333.0, 8, 1337, 24]]])
    layer = RoIPooling(1, (4,), dtype="mixed_bfloat16")
    pooled = layer([tf.cast(columns - 333, tf.bfloat16)], box)
    assert pooled.dtype == tf.bfloat16
    np.testing.assert_allclose(float(pooled[0, 0, 0, 0, 0]), 1335 / 4 - 0.5 - 333, atol=0.01)


def test_gradient_reaches_the_pyramid_and_not_the_boxes():
    layer = RoIPooling(3, (4, 8))
    with tf.GradientTape() as tape:
        tape.watch([PYRAMID, BOXES])
        total = tf.reduce_sum(layer(PYRAMID, BOXES) ** 2)
    to_pyramid, to_boxes = tape.gradient(total, [PYRAMID, BOXES])
    assert to_boxes is None
    assert np.abs(to_pyramid[0]).max() > 0
