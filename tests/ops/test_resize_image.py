"""Resizing: sizes to the pixel, and pixels as Pillow and torchvision give them."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mrcnn_tf.ops import RESIZE_METHODS, resize_image, resized_shape
from tests.weights.detectron2_case import synthetic_image

GOLDEN = dict(np.load(Path(__file__).parent.parent / "golden/resize_image.npz"))


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


@pytest.mark.parametrize("method", RESIZE_METHODS)
def test_python_and_tensors_agree_everywhere(rng, method):
    heights, widths = rng.integers(1, 3000, [2, 500])
    new = resized_shape(tf.constant(heights), tf.constant(widths), 800, 1333, method)
    for i in range(500):
        expected = resized_shape(int(heights[i]), int(widths[i]), 800, 1333, method)
        assert (int(new[0][i]), int(new[1][i])) == expected
        assert max(expected) <= 1333
        assert min(expected) <= 800 or method == "matterport"


def test_sizes_equal_torchvision():
    assert GOLDEN["resized"][:3].tolist() == [[800, 1066], [1066, 800], [799, 1286]]
    for shape, expected in zip(GOLDEN["shapes"], GOLDEN["resized"], strict=True):
        assert resized_shape(*shape, 800, 1333, "torchvision") == tuple(expected)


def test_sizes_of_detectron2():
    # 39 * (800 / 39) * (1333 / 1600) is 666.5 but for the error of a double.
    assert resized_shape(39, 78, 800, 1333, "detectron2") == (666, 1333)
    assert resized_shape(39, 78, 800, 1333) == (667, 1333)
    assert resized_shape(480, 640, 800, 1333, "detectron2") == (800, 1067)
    assert resized_shape(1, 5000, 800, 1333, "detectron2") == (1, 1333)
    with pytest.raises(ValueError, match="method is one of .*'torchvision'.*; got 'nearest'"):
        resized_shape(480, 640, 800, 1333, "nearest")


def test_sizes_of_matterport():
    for shape, expected in (
        ((480, 640), (768, 1024)),
        ((500, 500), (800, 800)),
        ((900, 1000), (900, 1000)),  # above the short side, which is no limit
        ((1100, 900), (1024, 838)),
        ((3, 2048), (2, 1024)),  # 1.5 and 2.5 both go to the even number
        ((5, 2048), (2, 1024)),
    ):
        assert resized_shape(*shape, 800, 1024, "matterport") == expected


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
    np.testing.assert_array_equal(resize_image(image, *size, "detectron2"), expected)
    in_graph = tf.function(resize_image)(image, *size, "detectron2").numpy()
    assert np.abs(in_graph.astype(int) - expected).max() <= 1
    assert np.mean(in_graph != expected) < 0.06 < np.mean(resized != expected)


@pytest.mark.parametrize(("name", "side"), [("larger", 91), ("smaller", 37)])
def test_pixels_equal_torchvision(name, side):
    for resize in (resize_image, tf.function(resize_image)):
        resized = resize(GOLDEN["image"], side, 1333, "torchvision")
        assert resized.dtype == tf.float32 and resized.shape[0] == side
        np.testing.assert_allclose(np.ravel(resized)[::7], GOLDEN[name], rtol=0, atol=1e-4)


@pytest.mark.parametrize("method", RESIZE_METHODS)
def test_unknown_shapes(rng, method):
    image = rng.integers(0, 256, [30, 40, 3], dtype=np.uint8)

    @tf.function(input_signature=[tf.TensorSpec([None, None, 3], tf.uint8)])
    def resize(image):
        return resize_image(image, 60, 100, method)

    alone = resize_image(image, 60, 100, method)
    assert alone.dtype == resize(image).dtype == RESIZE_METHODS[method]
    np.testing.assert_allclose(resize(image), alone, atol=method == "detectron2")
    batch = np.stack([image, image[::-1]])
    np.testing.assert_array_equal(resize_image(batch, 60, 100, method)[0], alone)
    with pytest.raises(ValueError, match="image must have 3 or 4 dimensions"):
        resize_image(image[..., 0], 60, 100)


def test_pixels_of_matterport():
    """Those of a golden file, where scikit-image 0.18 made them, and its black around an image."""
    golden = np.load(Path(__file__).parent.parent / "golden/matterport.npz")["image"].astype(int)
    for resize in (resize_image, tf.function(resize_image)):
        resized = resize(synthetic_image(300, 400), 256, 256, "matterport").numpy()
        assert resized.dtype == np.uint8 and resized.shape == golden.shape
        assert set(np.unique(resized - golden)) == {0, 1} and np.mean(resized != golden) < 0.002
    # Samples lie at -0.25, 0.25, 0.75 and 1.25 across, and at -0.25 and 0.25 down.
    image = np.repeat(np.uint8([[[100], [200]]]), 3, axis=2)
    enlarged = resize_image(image[None], 2, 4, "matterport")[0, :, :, 0]
    np.testing.assert_array_equal(enlarged, [[56, 93, 131, 112]] * 2)  # 0.75 of 75, 125, 175, 150
    same = resize_image(synthetic_image(30, 40), 20, 50, "matterport")
    np.testing.assert_array_equal(same, synthetic_image(30, 40))
