import numpy as np
import pytest
import tensorflow as tf

from mrcnn_tf.export.fixed_resize import FixedResize
from mrcnn_tf.ops import RESIZE_METHODS, resize_image, resized_shape

from .conftest import blocks


@pytest.mark.parametrize("method", RESIZE_METHODS)
def test_pixels_are_those_of_resize_image(method):
    resize = FixedResize((200, 300), 100, 160, method)
    canvas = np.random.default_rng(0).integers(0, 256, (3, 200, 300, 3), np.uint8)
    canvas[0] = blocks(1, 200, 300)[0]
    sizes = tf.constant([[200, 300], [40, 55], [77, 88]])
    new_sizes = resize.new_sizes(sizes)
    resized = resize(tf.cast(canvas, tf.float32), sizes, new_sizes).numpy()
    assert resized.shape[1:3] == resize.new_canvas
    for row, given, (height, width), (h, w) in zip(resized, canvas, sizes, new_sizes, strict=True):
        expected = np.asarray(resize_image(given[:height, :width], 100, 160, method), np.float32)
        assert expected.shape == (h, w, 3)
        off = abs(row[:h, :w] - expected)
        # Values that lie between two levels may take the other one: Pillow computes in integers.
        assert off.max() <= (0.01 if method == "torchvision" else 1)
        assert (off > 0.01).mean() < (0.06 if method == "detectron2" else 0.002)
        assert not row[h:].any() and not row[:, w:].any()


def test_sizes_are_those_of_resized_shape():
    heights, widths = np.meshgrid(np.arange(1, 600, 3), np.arange(1, 900, 2))
    sizes = tf.constant(np.stack([heights.ravel(), widths.ravel()], axis=1), tf.int32)
    share_off = {}
    for method in RESIZE_METHODS:
        resize = FixedResize((900, 900), 800, 1333, method)
        resize.new_canvas = (2000, 2000)  # no limit
        expected = tf.stack(resized_shape(sizes[:, 0], sizes[:, 1], 800, 1333, method), axis=1)
        off = abs(resize.new_sizes(sizes) - expected).numpy()
        assert off.max() <= 1
        share_off[method] = off.any(axis=1).mean()
    assert share_off["antialias"] == share_off["torchvision"] == 0
    assert share_off["detectron2"] < 0.001 and share_off["matterport"] < 0.005


def test_what_the_canvas_limits():
    resize = FixedResize((480, 640), 800, 1333, "antialias")
    assert resize.new_canvas == (800, 1067)
    sizes = tf.constant([[480, 640], [480, 360], [100, 640], [1, 1], [480, 1]])
    new_sizes = resize.new_sizes(sizes).numpy().tolist()
    # 480 x 360 would be 1067 x 800, and 100 x 640 is limited by the width of the canvas.
    assert new_sizes == [[800, 1067], [800, 600], [167, 1067], [800, 800], [800, 2]]
