import numpy as np
import tensorflow as tf

from mrcnn_tf.layers import SquareImages
from tests.layers.layer_case import check_layer


def images(height=6, width=8):
    pixels = np.arange(2 * height * width * 3).reshape(2, height, width, 3) % 251 + 1
    return pixels.astype("float32")


def test_serialisation_and_precision():
    check_layer(
        lambda **kwargs: SquareImages(8, multiple=4, **kwargs),
        [tf.constant(images()), tf.constant([[6, 8], [5, 3]])],
        num_weights=0,
        mixed_dtypes=["float32", "float32"],
    )


def test_each_image_lies_in_the_middle():
    pixels = images().astype("uint8")
    squares, windows = SquareImages(10, multiple=4)(pixels, np.int64([[6, 8], [5, 3]]))
    assert squares.shape == (2, 12, 12, 3)
    # Of 7 rows and 9 columns that are left, 3 and 4 are above and to the left.
    np.testing.assert_array_equal(windows, [[2, 3, 10, 9], [4, 3, 7, 8]])
    expected = np.zeros([2, 12, 12, 3])
    expected[0, 3:9, 2:10] = pixels[0]
    expected[1, 3:8, 4:7] = pixels[1, :5, :3]
    np.testing.assert_array_equal(squares, expected)


def test_the_side_is_that_of_the_larger_image():
    for side, shape, expected in ((8, (6, 8), 8), (4, (6, 8), 8), (4, (9, 3), 12), (4, (1, 1), 4)):
        layer, sizes = SquareImages(side, multiple=4), np.int32([shape] * 2)
        assert layer(images(*shape), sizes)[0].shape == (2, expected, expected, 3)
    squares, windows = SquareImages(8, multiple=8)(images(8, 8), np.int32([[8, 8]] * 2))
    np.testing.assert_array_equal(squares, images(8, 8))
    np.testing.assert_array_equal(windows, [[0, 0, 8, 8]] * 2)
