from pathlib import Path

import numpy as np
import tensorflow as tf

from mrcnn_tf.boxes import box_areas, pairwise_coverage, pairwise_intersection, pairwise_iou

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "detectron2_units.npz")

UNIT = [0.0, 0.0, 10.0, 10.0]
BOXES = tf.constant([UNIT, [5.0, 0, 15, 10], [10.0, 0, 20, 10], [2.0, 2, 2, 8], [9.0, 9, 1, 1]])


def test_areas_count_no_extra_pixel_and_inverted_boxes_are_empty():
    np.testing.assert_array_equal(box_areas(BOXES), [100, 100, 100, 0, 0])
    assert box_areas(BOXES[None, None]).shape == (1, 1, 5)


def test_overlaps_of_known_pairs():
    first = BOXES[:1]
    np.testing.assert_array_equal(pairwise_intersection(first, BOXES)[0], [100, 50, 0, 0, 0])
    np.testing.assert_allclose(pairwise_iou(first, BOXES)[0], [1, 1 / 3, 0, 0, 0], rtol=1e-6)
    # No area on either side: 0, not 0 / 0.
    np.testing.assert_array_equal(pairwise_iou(BOXES[3:], BOXES[3:]), np.zeros((2, 2)))


def test_coverage_is_of_the_first_box_alone():
    region = tf.constant([[0.0, 0, 100, 100]])
    np.testing.assert_array_equal(pairwise_coverage(BOXES, region)[:, 0], [1, 1, 1, 0, 0])
    np.testing.assert_allclose(pairwise_coverage(region, BOXES)[0, 0], 0.01, rtol=1e-6)


def test_batches_are_independent_and_may_be_empty():
    batch = tf.stack([BOXES, BOXES[::-1]])
    iou = pairwise_iou(batch, batch)
    assert iou.shape == (2, 5, 5)
    np.testing.assert_array_equal(iou[0], pairwise_iou(BOXES, BOXES))
    np.testing.assert_array_equal(iou[1], iou[0].numpy()[::-1, ::-1])
    assert pairwise_iou(batch[:, :0], batch).shape == (2, 0, 5)


def test_equals_detectron2():
    boxes = GOLDEN["nms.boxes"]
    np.testing.assert_allclose(
        pairwise_iou(boxes[:10], boxes), GOLDEN["iou.first10_vs_all"], atol=1e-6
    )
