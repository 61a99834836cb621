import numpy as np
import tensorflow as tf

from mrcnn_tf.boxes import from_inclusive, rescale_inclusive_boxes, to_inclusive


def test_the_last_pixel_is_one_less_and_back():
    boxes = tf.constant([[[0.0, 5, 10, 6]]])
    np.testing.assert_array_equal(to_inclusive(boxes), [[[0, 5, 9, 5]]])
    np.testing.assert_array_equal(from_inclusive(to_inclusive(boxes)), boxes)


def test_rescaled_boxes_are_whole_pixels_of_the_new_size():
    # 99 of 100 columns lie between the first and the last, and 249 of 250.
    boxes = tf.constant([[[0.0, 0, 100, 50], [20, 10, 61, 31], [90, 40, 140, 60], [0, 0, 0, 0]]])
    found = rescale_inclusive_boxes(boxes, tf.constant([[50, 100]]), tf.constant([[99, 250]]))
    expected = [
        [0, 0, 250, 99],
        [round(20 * 249 / 99), 20, round(60 * 249 / 99) + 1, 61],
        [round(90 * 249 / 99), 80, 250, 99],
        [0, 0, 0, 0],
    ]
    np.testing.assert_array_equal(found, [expected])


def test_one_image_and_a_single_pixel():
    found = rescale_inclusive_boxes(np.float32([[0, 0, 1, 1]]), np.int32([1, 1]), (1, 40))
    np.testing.assert_array_equal(found, [[0, 0, 1, 1]])
