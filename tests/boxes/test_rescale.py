import numpy as np
import tensorflow as tf

from mrcnn_tf.boxes import rescale_boxes, rescale_points


def test_boxes_are_scaled_by_axis_and_clipped():
    boxes = tf.constant([[[10.0, 20, 30, 45], [-5, 0, 90, 10]], [[10.0, 20, 30, 40], [0, 0, 1, 1]]])
    sizes, new_sizes = tf.constant([[40, 80], [40, 80]]), tf.constant([[20, 160], [80, 80]])
    expected = [[[20, 10, 60, 20], [0, 0, 160, 5]], [[10, 40, 30, 80], [0, 0, 1, 2]]]
    np.testing.assert_allclose(rescale_boxes(boxes, sizes, new_sizes), expected)
    one = rescale_boxes(boxes[0].numpy(), np.int32([40, 80]), (20, 160))
    np.testing.assert_allclose(one, expected[0])


def test_points_are_scaled_by_axis_and_what_belongs_to_them_is_not():
    points = tf.constant([[[[10.0, 20, 0.9], [-4, 0, 0.1]]], [[[10.0, 20, 0.9], [-4, 0, 0.1]]]])
    sizes, new_sizes = tf.constant([[40, 80], [40, 80]]), tf.constant([[20, 160], [80, 80]])
    expected = [[[[20, 10, 0.9], [-8, 0, 0.1]]], [[[10, 40, 0.9], [-4, 0, 0.1]]]]
    np.testing.assert_allclose(rescale_points(points, sizes, new_sizes), expected)
    one = rescale_points(points[0].numpy(), np.int32([40, 80]), (20, 160))
    np.testing.assert_allclose(one, expected[0])
