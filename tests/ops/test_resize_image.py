"""Resizing: sizes to the pixel, and pixels as Pillow gives them."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mrcnn_tf.ops import resize_image, resized_shape


@pytest.mark.parametrize(
    ("height", "width", "size", "expected"),
    [
        (480, 640, (800, 1333), (800, 1067)),
        (640, 480, (800, 1333), (1067, 800)),
        (480, 1000, (800, 1333), (640, 1333)),
        (800, 1333, (800, 1333), (800, 1333)),
        (1080, 1920, (256, 256), (144, 256)),
        (100, 200, (256, 256), (128, 256)),
        (1, 1000, (256, 256), (1, 256)),
        (3, 2, (5, 7), (7, 5)),  # 14 / 3 rounds to 5
    ],
)
def test_sizes(height, width, size, expected):
    assert resized_shape(height, width, *size) == expected
    as_tensors = resized_shape(tf.constant(height), tf.constant(width), *size)
    assert tuple(int(value) for value in as_tensors) == expected
    assert all(value.dtype == tf.int32 for value in as_tensors)


def test_python_and_tensors_agree_everywhere(rng):
    heights, widths = rng.integers(1, 3000, [2, 500])
    new_heights, new_widths = resized_shape(tf.constant(heights), tf.constant(widths), 800, 1333)
    for i in range(500):
        expected = resized_shape(int(heights[i]), int(widths[i]), 800, 1333)
        assert (int(new_heights[i]), int(new_widths[i])) == expected
        assert min(expected) <= 800 and max(expected) <= 1333


@pytest.mark.parametrize("size", [(20, 40), (90, 200)])
def test_pixels_equal_pillow(rng, size):
    image = rng.integers(0, 256, [48, 65, 3], dtype=np.uint8)
    resized = resize_image(image, *size)
    assert resized.dtype == tf.uint8
    height, width = resized_shape(48, 65, *size)
    expected = np.asarray(Image.fromarray(image).resize((width, height), Image.BILINEAR))
    # Pillow rounds to whole numbers between its two passes.
    assert np.abs(resized.numpy().astype(int) - expected).max() <= 1
    np.testing.assert_array_equal(resize_image(np.full([9, 7, 3], 255, np.uint8), 5, 8), 255)


def test_unknown_shapes(rng):
    image = rng.integers(0, 256, [30, 40, 3], dtype=np.uint8)

    @tf.function(input_signature=[tf.TensorSpec([None, None, 3], tf.uint8)])
    def resize(image):
        return resize_image(image, 60, 100)

    np.testing.assert_array_equal(resize(image), resize_image(image, 60, 100))
    batch = np.stack([image, image[::-1]])
    np.testing.assert_array_equal(resize_image(batch, 60, 100)[0], resize_image(image, 60, 100))
    with pytest.raises(ValueError, match="image must have 3 or 4 dimensions"):
        resize_image(image[..., 0], 60, 100)
