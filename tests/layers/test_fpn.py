import numpy as np
import pytest
import tensorflow as tf

from mrcnn_tf.layers.fpn import FPN
from tests.layers.layer_case import check_layer

CHANNELS = (3, 4, 5, 6)


def backbone_maps(sizes, channels=CHANNELS) -> list[tf.Tensor]:
    return [
        tf.random.stateless_normal([1, *size, c], [0, c])
        for size, c in zip(sizes, channels, strict=True)
    ]


def test_serialisation_and_precision():
    check_layer(
        lambda **kwargs: FPN(CHANNELS, channels=8, **kwargs),
        [backbone_maps([(16, 8), (8, 4), (4, 2), (2, 1)])],
        num_weights=16,
        mixed_dtypes=["bfloat16"] * 5,
    )
    check_layer(
        lambda **kwargs: FPN(CHANNELS, channels=32, norm="group_norm", **kwargs),
        [backbone_maps([(16, 8), (8, 4), (4, 2), (2, 1)])],
        num_weights=24,
        mixed_dtypes=["bfloat16"] * 5,
    )


def test_levels():
    # Sizes of a 75 x 50 image: each half of the one before, rounded up.
    maps = backbone_maps([(19, 13), (10, 7), (5, 4), (3, 2)])
    sizes = [(19, 13), (10, 7), (5, 4), (3, 2), (2, 1), (1, 1)]
    full = FPN(CHANNELS, channels=8)
    assert [p.shape[1:] for p in full(maps)] == [(*size, 8) for size in sizes[:5]]
    assert full.strides == (4, 8, 16, 32, 64)

    # Without the finest level the others are the same, and its weights do not exist.
    small = FPN(CHANNELS, channels=8, min_level=3, max_level=7)
    assert small.strides == (8, 16, 32, 64, 128) and len(small.weights) == 12
    for name in ("laterals", "outputs"):
        for ours, theirs in zip(getattr(small, name), getattr(full, name)[1:], strict=True):
            ours.set_weights(theirs.get_weights())
    outputs = small(maps)
    assert [p.shape[1:3] for p in outputs] == sizes[1:]
    for ours, theirs in zip(outputs, full(maps)[1:], strict=False):
        np.testing.assert_array_equal(ours, theirs)

    # One level is a convolution of C5, nothing else.
    assert [p.shape[1:3] for p in FPN(CHANNELS, 8, min_level=5, max_level=5)(maps)] == [(3, 2)]


def test_top_down_by_hand():
    fpn = FPN((1, 1, 1, 1), channels=1)
    for lateral, output in zip(fpn.laterals, fpn.outputs, strict=True):
        lateral.set_weights([np.ones([1, 1, 1, 1]), np.zeros(1)])
        output.set_weights([np.pad([[1.0]], 1).reshape(3, 3, 1, 1), np.zeros(1)])
    maps = backbone_maps([(8, 8), (4, 4), (2, 2), (1, 1)], (1, 1, 1, 1))
    merged = [m.numpy() for m in maps]
    for level in (2, 1, 0):
        merged[level] = merged[level] + merged[level + 1].repeat(2, axis=1).repeat(2, axis=2)
    *levels, p6 = fpn(maps)
    for level, expected in zip(levels, merged, strict=True):
        np.testing.assert_allclose(level, expected, atol=1e-6)
    np.testing.assert_array_equal(p6, levels[-1][:, ::2, ::2])


def test_initial_weights():
    bound = np.sqrt(3 / (64 * 9))
    for norm in (None, "batch_norm"):
        kernel, shift, *_ = FPN((64, 64, 64, 64), 64, norm=norm).outputs[0].get_weights()
        assert 0.99 * bound < np.abs(kernel).max() <= bound and np.ptp(shift) == 0


def test_normalisation_of_laterals_and_outputs():
    fpn = FPN(CHANNELS, channels=8, norm="batch_norm")
    maps = backbone_maps([(16, 24), (8, 12), (4, 6), (2, 3)])
    before = fpn.get_weights()
    fpn(maps)
    for weight, expected in zip(fpn.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, expected)
    with tf.GradientTape() as tape:
        pyramid = fpn(maps, training=True)
        loss = tf.add_n([tf.reduce_sum(p**3) for p in pyramid])
    # Without an activation: every channel of every level has a mean of 0.
    for level in pyramid[:4]:
        np.testing.assert_allclose(tf.reduce_mean(level, axis=[0, 1, 2]), 0, atol=1e-5)
    norms = [conv.normalization for conv in [*fpn.laterals, *fpn.outputs]]
    assert all(np.any(norm.moving_mean) for norm in norms)
    vectors = [vector.value for norm in norms[4:] for vector in norm.trainable_weights]
    assert len(vectors) == 8 and all(np.any(g) for g in tape.gradient(loss, vectors))


def test_bad_arguments():
    for arguments, message in (
        ({"in_channels": (8, 8)}, r"in_channels=\(8, 8\) must name"),
        ({"in_channels": CHANNELS, "min_level": 1}, "min_level=1 must lie in 2..5"),
        ({"in_channels": CHANNELS, "max_level": 4}, "max_level=4 be at least 5"),
    ):
        with pytest.raises(ValueError, match=message):
            FPN(**arguments)
