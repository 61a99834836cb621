from pathlib import Path

import numpy as np
import tensorflow as tf

from mrcnn_tf.boxes import cell_anchors, make_anchors

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "detectron2_units.npz")
RATIOS = (0.5, 1.0, 2.0)


def test_cell_anchors_keep_their_area_and_ratio_is_height_over_width():
    cell = cell_anchors(64, RATIOS)
    assert cell.dtype == np.float32 and cell.shape == (3, 4)
    width, height = cell[:, 2] - cell[:, 0], cell[:, 3] - cell[:, 1]
    np.testing.assert_allclose(width * height, [64**2] * 3, rtol=1e-6)
    np.testing.assert_allclose(height / width, RATIOS, rtol=1e-6)
    np.testing.assert_array_equal(cell[:, :2], -cell[:, 2:])


def test_order_is_row_column_anchor_and_offset_moves_by_strides():
    cell = cell_anchors(8, RATIOS)
    anchors = make_anchors(2, 3, 16, cell).numpy().reshape(2, 3, 3, 4)
    np.testing.assert_array_equal(anchors[0, 0], cell)
    np.testing.assert_array_equal(anchors[0, 1], cell + np.float32([16, 0, 16, 0]))
    np.testing.assert_array_equal(anchors[1, 0], cell + np.float32([0, 16, 0, 16]))
    moved = make_anchors(2, 3, 16, cell, offset=0.5).numpy().reshape(2, 3, 3, 4)
    np.testing.assert_allclose(moved, anchors + 8, atol=1e-5)


def test_map_size_may_be_unknown_or_empty():
    make = tf.function(
        lambda height, width: make_anchors(height, width, 4, cell_anchors(8, RATIOS)),
        input_signature=[tf.TensorSpec([], tf.int32)] * 2,
    )
    assert make(tf.constant(5), tf.constant(7)).shape == (105, 4)
    assert make(tf.constant(0), tf.constant(7)).shape == (0, 4)
    assert make.get_concrete_function().output_shapes.as_list() == [None, 4]


def test_equals_detectron2():
    for level, size in zip(range(2, 7), (32, 64, 128, 256, 512), strict=True):
        stride = 2**level
        cell = cell_anchors(size, RATIOS)
        np.testing.assert_allclose(cell, GOLDEN[f"cell_anchors.p{level}"], rtol=1e-6)
        np.testing.assert_allclose(
            make_anchors(-(-64 // stride), -(-96 // stride), stride, cell),
            GOLDEN[f"anchors.p{level}"],
            rtol=1e-5,
            atol=1e-4,
        )
