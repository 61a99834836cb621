import numpy as np
import pytest
import tensorflow as tf

from mrcnn_tf.layers import NormalizeImages
from tests.layers.layer_case import check_layer

MEAN, STD = (100.0, 110.0, 120.0), (50.0, 55.0, 60.0)


def images(dtype="uint8"):
    return np.random.default_rng(0).integers(0, 256, (2, 40, 64, 3)).astype(dtype)


def test_serialisation_and_precision():
    check_layer(
        lambda **kwargs: NormalizeImages(MEAN, STD, multiple=16, **kwargs),
        [tf.constant(images("float32")), tf.constant([[40, 64], [30, 20]])],
        num_weights=0,
        mixed_dtypes=["float32"],
    )


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64", "int32"])
def test_pixels_of_any_number_type(dtype):
    normalized = NormalizeImages(MEAN, STD)(images(dtype), tf.constant([[40, 64]] * 2))
    assert normalized.dtype == tf.float32 and normalized.shape == (2, 64, 64, 3)
    np.testing.assert_allclose(
        normalized[:, :40], (images().astype("float32") - MEAN) / STD, atol=1e-5
    )
    assert not normalized[:, 40:].numpy().any()


def test_padding_is_zero_whatever_its_pixels_hold():
    layer, sizes = NormalizeImages(MEAN, STD), tf.constant([[40, 64], [30, 20]], tf.int64)
    pixels = images()
    normalized = layer(pixels, sizes).numpy()
    assert not normalized[1, 30:].any() and not normalized[1, :, 20:].any()
    assert normalized[1, 29, 19].all()
    pixels[1, 30:], pixels[1, :, 20:] = 255, 17
    np.testing.assert_array_equal(layer(pixels, sizes), normalized)


def test_a_size_that_fits_is_not_padded():
    layer = NormalizeImages(MEAN, STD, multiple=8)
    assert layer(images(), tf.constant([[40, 64]] * 2)).shape == (2, 40, 64, 3)
    assert layer(images()[:, :33, :1], tf.constant([[33, 1]] * 2)).shape == (2, 40, 8, 3)
