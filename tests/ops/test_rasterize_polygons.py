"""Polygons against pycocotools, Detectron2's values and hostile lists."""

from pathlib import Path

import numpy as np
import pytest

from mrcnn_tf.ops import implementation, rasterize_polygons

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "detectron2_units.npz")


def random_polygon(rng, extent):
    """Stars, lines on whole pixels, and tangles, some of them outside the grid."""
    count = rng.integers(3, 12)
    kind = rng.integers(0, 4)
    if kind == 0:
        angles = np.sort(rng.uniform(0, 2 * np.pi, count))
        radii = rng.uniform(0.1, 0.6, count) * extent
        points = (
            rng.uniform(0, extent, 2)
            + np.stack([np.cos(angles), np.sin(angles)], 1) * radii[:, None]
        )
    else:
        points = rng.uniform(-0.3 * extent, 1.3 * extent, [count, 2])
    if kind == 2:
        points = np.round(points)
    if kind == 3:
        points = np.round(points * 2) / 2
        points[1] = points[0]
    return points.reshape(-1).tolist()


def test_squares_and_a_union(each_implementation):
    square = [2.0, 1.0, 5.0, 1.0, 5.0, 3.0, 2.0, 3.0]
    other = [4.0, 2.0, 7.0, 2.0, 7.0, 6.0, 4.0, 6.0]
    drawn = rasterize_polygons([[square], [square, other], []], 8, 9)
    expected = np.zeros((3, 8, 9), np.uint8)
    expected[:2, 1:3, 2:5] = 1
    expected[1, 2:6, 4:7] = 1
    np.testing.assert_array_equal(drawn, expected)
    assert drawn.dtype == np.uint8
    # A box that shows the second half of the first square, each pixel as 4 x 2.
    boxes = np.array([[3.5, 1, 5.5, 3]], np.float32)
    zoomed = rasterize_polygons([[square]], 4, 8, boxes)[0]
    np.testing.assert_array_equal(zoomed, [[1] * 6 + [0] * 2] * 4)


def test_compiled_sets_the_pixels_of_pycocotools(compiled_ops, rng):
    for _ in range(300):
        height, width = rng.integers(1, 60, 2)
        objects = [
            [random_polygon(rng, 50) for _ in range(rng.integers(0, 4))]
            for _ in range(rng.integers(0, 5))
        ]
        corners = rng.uniform(-10, 60, [len(objects), 2, 2])
        boxes = np.concatenate([corners.min(1), corners.max(1)], -1)
        for of_boxes in (None, boxes):
            drawn = rasterize_polygons(objects, height, width, of_boxes)
            with implementation("plain"):
                expected = rasterize_polygons(objects, height, width, of_boxes)
            np.testing.assert_array_equal(drawn, expected)


def test_equals_detectron2(each_implementation):
    boxes = GOLDEN["maskt.synthetic.boxes"]
    polygons = [GOLDEN[f"maskt.synthetic.poly{i}"].reshape(-1).tolist() for i in range(2)]
    packed = GOLDEN["maskt.synthetic.poly_packed"]
    expected = np.unpackbits(packed, axis=1)[:, : 28 * 28].reshape(-1, 28, 28)
    drawn = rasterize_polygons([polygons] * len(boxes), 28, 28, boxes)
    np.testing.assert_array_equal(drawn, expected)


def test_hostile_polygons_and_boxes(each_implementation):
    square = [2.0, 1.0, 5.0, 1.0, 5.0, 3.0, 2.0, 3.0]
    alone = rasterize_polygons([[square]], 6, 6)[0]
    left_out = [[], [1.0, 1.0], [1.0, 1.0, 4.0, 4.0], [np.nan, *square[1:]], [np.inf, *square[1:]]]
    drawn = rasterize_polygons([[square, bad] for bad in left_out] + [left_out], 6, 6)
    np.testing.assert_array_equal(drawn[:-1], [alone] * len(left_out))
    assert not drawn[-1].any()
    everywhere = [-1e300, -1e300, 1e300, -1e300, 1e300, 1e300, -1e300, 1e300]
    assert rasterize_polygons([[everywhere]], 3, 2).all()
    assert rasterize_polygons([], 3, 2).shape == (0, 3, 2)
    assert rasterize_polygons([[square]], 0, 2).shape == (1, 0, 2)
    boxes = np.array([[np.nan, 0, 1, 1], [0, 0, np.inf, 1], [3, 2, 3, 2], [4, 4, 1, 1]], np.float32)
    drawn = rasterize_polygons([[square]] * 4, 4, 4, boxes)
    assert not drawn[:2].any() and drawn[2].all()


def test_wrong_arguments_are_named(each_implementation):
    with pytest.raises(ValueError, match=r"polygons\[1\] holds something that is not a number"):
        rasterize_polygons([[], [["a", "b"]]], 4, 4)
    with pytest.raises(ValueError, match=r"polygons\[0\] must hold flat lists"):
        rasterize_polygons([[[1.0, 2.0, 3.0]]], 4, 4)
    with pytest.raises(ValueError, match=r"boxes must be \(1, 4\)"):
        rasterize_polygons([[]], 4, 4, np.zeros([2, 4]))
