import numpy as np
import tensorflow as tf

from mrcnn_tf.boxes import clip_boxes

SIZES = tf.constant([[40, 80], [80, 40]])  # height, width
WILD = [[-5.0, -6.0, 200.0, 300.0], [90.0, 90.0, 95.0, 95.0], [1.0, 2.0, 3.0, 4.0]]


def test_each_image_has_its_own_limits():
    clipped = clip_boxes(tf.constant([WILD, WILD]), SIZES).numpy()
    np.testing.assert_array_equal(clipped[0], [[0, 0, 80, 40], [80, 40, 80, 40], [1, 2, 3, 4]])
    np.testing.assert_array_equal(clipped[1], [[0, 0, 40, 80], [40, 80, 40, 80], [1, 2, 3, 4]])


def test_boxes_per_class_and_unknown_shapes():
    boxes = tf.constant([WILD, WILD])
    by_class = tf.stack([boxes, boxes + 1000.0], axis=2)  # [B, N, 2, 4]
    clipped = clip_boxes(by_class, SIZES)
    np.testing.assert_array_equal(clipped[:, :, 0], clip_boxes(boxes, SIZES))
    np.testing.assert_array_equal(clipped[0, :, 1], [[80, 40, 80, 40]] * 3)
    traced = tf.function(
        clip_boxes,
        input_signature=[tf.TensorSpec([None, None, 4]), tf.TensorSpec([None, 2], tf.int32)],
    )
    np.testing.assert_array_equal(traced(boxes, SIZES), clip_boxes(boxes, SIZES))
    assert traced(boxes[:, :0], SIZES).shape == (2, 0, 4)
