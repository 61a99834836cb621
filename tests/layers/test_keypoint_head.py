import numpy as np
import tensorflow as tf

from mrcnn_tf.layers import KeypointHead
from tests.layers.layer_case import check_layer

POOLED = tf.random.stateless_normal([2, 3, 6, 6, 4], [0, 1])


def test_serialisation_and_precision():
    check_layer(
        lambda **kwargs: KeypointHead(4, num_keypoints=5, channels=8, num_convs=2, **kwargs),
        [POOLED],
        num_weights=6,
        mixed_dtypes=["float32"],
    )


def test_heatmaps_are_four_times_the_pooled_size():
    assert KeypointHead(4, 5, channels=8, num_convs=1)(POOLED).shape == (2, 3, 24, 24, 5)
    head = KeypointHead(4, 5, num_convs=0)
    assert len(head.weights) == 2 and head(POOLED[:, :0]).shape == (2, 0, 24, 24, 5)
    published = KeypointHead(256)
    assert [conv.filters for conv in published.convs] == [512] * 8
    assert published.logits.kernel.shape == (4, 4, 17, 512)


def test_rows_do_not_mix():
    head = KeypointHead(4, 5, channels=8, num_convs=2)
    np.testing.assert_allclose(head(POOLED)[1:, 1:], head(POOLED[1:, 1:]), atol=1e-6)


def test_one_pooled_cell_reaches_its_cells_of_the_heatmap():
    """A kernel of ones at the taps in the middle doubles the grid; upsampling blends neighbours."""
    head = KeypointHead(1, 1, num_convs=0)
    kernel = np.zeros([4, 4, 1, 1], np.float32)
    kernel[1:3, 1:3] = 1
    head.logits.kernel.assign(kernel)
    pooled = np.zeros([1, 1, 4, 4, 1], np.float32)
    pooled[0, 0, 1, 2] = 1
    across = np.float32([0, 0, 0, 0, 0, 0, 0, 0.25, 0.75, 1, 1, 0.75, 0.25, 0, 0, 0])
    down = np.float32([0, 0, 0, 0.25, 0.75, 1, 1, 0.75, 0.25, 0, 0, 0, 0, 0, 0, 0])
    np.testing.assert_allclose(head(pooled)[0, 0, :, :, 0], np.outer(down, across), atol=1e-6)


def test_activations_neither_vanish_nor_explode_before_training():
    head = KeypointHead(64, channels=64, num_convs=8)
    features = tf.random.stateless_normal([8, 14, 14, 64], [0, 2])
    for layer in head.convs:
        features = layer(features)
    assert 0.2 < float(tf.math.reduce_std(features)) < 3
