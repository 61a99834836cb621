import numpy as np
import pytest
import tensorflow as tf

from mrcnn_tf.boxes import cell_anchors, make_anchors
from mrcnn_tf.layers import AnchorGenerator
from tests.layers.layer_case import check_layer

PYRAMID = [tf.zeros([1, 4, 6, 8]), tf.zeros([1, 2, 3, 8])]


def test_serialisation_and_precision():
    check_layer(
        lambda **kwargs: AnchorGenerator(
            ((8, 12), (16, 24)), (0.5, 2.0), (4, 8), 0.5, True, **kwargs
        ),
        [PYRAMID],
        num_weights=0,
        mixed_dtypes=["float32"] * 2,
    )


def test_each_level_has_its_own_size_and_stride():
    layer = AnchorGenerator((8, 16), (0.5, 1.0, 2.0), (4, 8))
    anchors = layer(PYRAMID)
    assert layer.num_anchors == 3
    np.testing.assert_array_equal(
        anchors[0], make_anchors(4, 6, 4, cell_anchors(8, (0.5, 1.0, 2.0)))
    )
    np.testing.assert_array_equal(
        anchors[1], make_anchors(2, 3, 8, cell_anchors(16, (0.5, 1.0, 2.0)))
    )


def test_several_sizes_a_level_stand_side_by_side():
    layer = AnchorGenerator(([8, 12], [16, 24]), (1.0,), (4, 8))
    assert layer.num_anchors == 2
    first = layer(PYRAMID)[0].numpy().reshape(4, 6, 2, 4)
    np.testing.assert_array_equal(first[0, 0], [[-4, -4, 4, 4], [-6, -6, 6, 6]])
    np.testing.assert_array_equal(first[2, 1, 1], [-2, 2, 10, 14])


def test_whole_pixels_as_torchvision():
    # 5 rows of stride 32 are 160 px, and 3 rows above them stand 160 // 3 = 53 px apart.
    pyramid = [tf.zeros([1, 5, 7, 8]), tf.zeros([1, 3, 4, 8])]
    fine, coarse = AnchorGenerator((32, 64), (0.5, 1.0), (32, 64), rounded=True)(pyramid)
    fine, coarse = np.reshape(fine, (5, 7, 2, 4)), np.reshape(coarse, (3, 4, 2, 4))
    np.testing.assert_array_equal(fine[0, 0], [[-23, -11, 23, 11], [-16, -16, 16, 16]])
    np.testing.assert_array_equal(fine[4, 6] - fine[0, 0], [[192, 128, 192, 128]] * 2)
    np.testing.assert_array_equal(coarse[0, 0, 0], [-45, -23, 45, 23])
    np.testing.assert_array_equal(coarse[2, 3] - coarse[0, 0], [[168, 106, 168, 106]] * 2)


def test_coordinates_keep_their_bits_in_half_precision():
    # bfloat16 has 8 bits: near 1333 px it could tell only multiples of 8 px.
    layer = AnchorGenerator((32,), (0.5,), (4,))
    features = tf.zeros([1, 1, 400, 8], tf.bfloat16)
    centres = tf.reduce_mean(layer([features])[0][:, 0::2], axis=1)
    np.testing.assert_allclose(centres, 4.0 * np.arange(400), atol=1e-3)


def test_arguments_that_do_not_fit():
    with pytest.raises(ValueError, match=r"anchor_sizes has 2 entries.*3 levels"):
        AnchorGenerator((8, 16), (1.0,), (4, 8, 16))
    with pytest.raises(ValueError, match="anchor_sizes.*same number"):
        AnchorGenerator(((8,), (16, 24)), (1.0,), (4, 8))
