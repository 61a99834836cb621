import numpy as np
import tensorflow as tf

from mrcnn_tf.layers import CropAndResizePooling
from tests.layers.layer_case import check_layer

PYRAMID = [
    tf.random.stateless_normal([2, 16, 16, 4], [0, 1]),
    tf.random.stateless_normal([2, 8, 8, 4], [0, 2]),
]
BOXES = tf.constant([[[3.3, 4, 30, 20], [0, 0, 64, 64]], [[10, 10, 12.5, 60], [0, 0, 0, 0.0]]])


def ramp(cells: int, stride: int) -> list[tf.Tensor]:
    """A map `[1, cells, cells, 2]` of its own columns and rows."""
    at = tf.range(float(cells))
    return [tf.stack(tf.meshgrid(at, at), axis=-1)[None]]


def test_serialisation_and_precision():
    check_layer(
        lambda **kwargs: CropAndResizePooling(3, (4, 8), canonical_size=112, **kwargs),
        [PYRAMID, BOXES],
        num_weights=0,
        mixed_dtypes=["float32"],  # follows the pyramid, which is float32 here
    )


def test_samples_lie_on_the_corners_of_the_box():
    layer = CropAndResizePooling(3, (4,))
    boxes = tf.constant([[[0.0, 0, 32, 32], [8, 16, 25, 18]]])
    pooled = layer(ramp(8, 4), boxes)[0]  # 8 cells, 32 pixels: 7 and 31 from first to last
    np.testing.assert_allclose(pooled[0, 0, :, 0], [0, 3.5, 7], atol=1e-5)
    np.testing.assert_allclose(pooled[0, :, 0, 1], [0, 3.5, 7], atol=1e-5)
    columns, rows = np.array([8, 16, 24]) * 7 / 31, np.array([16, 16.5, 17]) * 7 / 31
    np.testing.assert_allclose(pooled[1, 0, :, 0], columns, atol=1e-5)
    np.testing.assert_allclose(pooled[1, :, 0, 1], rows, atol=1e-5)


def test_the_level_is_rounded():
    pyramid = [tf.fill([1, 32 >> level, 32 >> level, 1], level + 2.0) for level in range(4)]
    layer = CropAndResizePooling(1, (4, 8, 16, 32), canonical_size=64)
    # 128 pixels: a side counts 128 / 127 of what lies between its first and last pixel.
    sides = np.array([1, 15, 22.4, 22.6, 44.8, 45, 89.7, 89.9, 127]) + 1
    expected = [2, 2, 2, 3, 3, 4, 4, 5, 5]
    boxes = np.stack([np.zeros_like(sides)] * 2 + [sides] * 2, axis=-1).astype("float32")[None]
    np.testing.assert_array_equal(layer(pyramid, boxes)[0, :, 0, 0, 0], expected)


def test_no_sample_falls_off_the_last_cell():
    corners = np.random.default_rng(0).uniform(0, 900, [1, 3000, 2])
    boxes = np.concatenate([corners, np.full_like(corners, 1024)], axis=-1).astype("float32")
    pyramid = [tf.ones([1, 1024 // stride, 1024 // stride, 1]) for stride in (4, 8, 16, 32)]
    pooled = CropAndResizePooling(7, (4, 8, 16, 32))(pyramid, boxes)
    np.testing.assert_allclose(pooled, np.ones([1, 3000, 7, 7, 1]), rtol=1e-6)


def test_boxes_that_are_not_finite_pool_to_zero_and_none_at_all_are_none():
    boxes = tf.constant([[[np.nan, 0, 8, 8], [0, 0, np.inf, 8], [0, 0, 8, 8]]])
    layer = CropAndResizePooling(2, (4,))
    pooled = layer([tf.ones([1, 8, 8, 3])], boxes)
    assert pooled[0, :, 0, 0, 0].numpy().tolist() == [0, 0, 1]
    assert layer([tf.ones([1, 8, 8, 3])], boxes[:, :0]).shape == (1, 0, 2, 2, 3)


def test_half_precision_and_gradients():
    layer = CropAndResizePooling(3, (4, 8), canonical_size=112)
    half = layer([tf.cast(features, tf.bfloat16) for features in PYRAMID], BOXES)
    assert half.dtype == tf.bfloat16
    with tf.GradientTape() as tape:
        tape.watch([PYRAMID, BOXES])
        total = tf.reduce_sum(layer(PYRAMID, BOXES) ** 2)
    to_pyramid, to_boxes = tape.gradient(total, [PYRAMID, BOXES])
    assert to_boxes is None
    assert all(np.abs(gradient).max() > 0 for gradient in to_pyramid)
