import numpy as np
import tensorflow as tf

from mrcnn_tf.layers import RPNHead
from tests.layers.layer_case import check_layer

PYRAMID = [
    tf.random.stateless_normal([2, 6, 5, 8], [0, 1]),
    tf.random.stateless_normal([2, 3, 2, 8], [0, 2]),
]


def test_serialisation_and_precision():
    check_layer(
        lambda **kwargs: RPNHead(8, num_anchors=3, channels=4, num_convs=2, **kwargs),
        [PYRAMID],
        num_weights=8,
        mixed_dtypes=["float32"] * 4,
    )


def test_outputs_are_in_the_order_of_the_anchors():
    head = RPNHead(8, num_anchors=3)
    assert head.channels == 8
    logits, deltas = head(PYRAMID)
    assert [tuple(t.shape) for t in (*logits, *deltas)] == [
        (2, 90),
        (2, 18),
        (2, 90, 4),
        (2, 18, 4),
    ]
    hidden = head.convs[0](PYRAMID[0])
    by_position = head.deltas(hidden).numpy()  # [B, H, W, A * 4]
    # Row 4, column 1, anchor 2.
    index = (4 * 5 + 1) * 3 + 2
    np.testing.assert_allclose(deltas[0][1, index], by_position[1, 4, 1, 8:12], atol=1e-6)
    np.testing.assert_allclose(logits[0][1, index], head.logits(hidden)[1, 4, 1, 2], atol=1e-6)


def test_levels_share_the_weights():
    head = RPNHead(8, num_anchors=1)
    logits, deltas = head([PYRAMID[0], PYRAMID[0], PYRAMID[1]])
    np.testing.assert_array_equal(logits[0], logits[1])
    np.testing.assert_array_equal(deltas[2], head([PYRAMID[1]])[1][0])
    assert len(head.trainable_weights) == 6
