"""RoIAlign: hand-computed grids, a slow reference, Detectron2's values, hostile boxes."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from mrcnn_tf.ops import implementation, load, roi_align
from tests.ops import reference

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / reference.GOLDEN)
HOSTILE = np.array(
    [
        [np.nan, 0, 10, 10],
        [0, 0, np.inf, 10],
        [-np.inf, -np.inf, np.inf, np.inf],
        [-3e38, -3e38, 3e38, 3e38],
        [0, 0, 1e9, 1e9],
        [1e9, 1e9, 2e9, 2e9],
        [30, 30, 10, 10],
        [10, 10, 10, 10],
        [-100, -100, -50, -50],
        [-20, -20, 20, 20],
        [63.9, 63.9, 90, 90],
        [0, 0, 64, 0.001],
    ],
    np.float32,
)


def ramp(height=16, width=16):
    """A map whose two channels are the column and the row of each cell, [1, H, W, 2]."""
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    return tf.constant(np.stack([columns, rows], -1)[None])


def random_pyramid(rng, batch=2, channels=5, side=32, levels=3):
    shapes = [[batch, side >> i, (side >> i) + 4, channels] for i in range(levels)]
    return [tf.constant(rng.normal(size=shape), tf.float32) for shape in shapes]


def random_boxes(rng, batch=2, count=40, extent=160):
    corners = rng.uniform(-20, extent, [batch, count, 2, 2])
    return np.concatenate([corners.min(2), corners.max(2)], -1).astype(np.float32)


def test_grids_computed_by_hand(each_implementation):
    # On a ramp the pooled value is the centre of each bin. With stride 4 the box from 8 to 24 px
    # spans the indices 1.5 to 5.5 if aligned, else 2 to 6; two bins of 2 cells.
    boxes = tf.constant([[[8.0, 16.0, 24.0, 32.0]]])
    aligned = roi_align([ramp()], boxes, 2, [4]).numpy()[0, 0]
    np.testing.assert_allclose(aligned[0, :, 0], [2.5, 4.5], atol=1e-6)
    np.testing.assert_allclose(aligned[:, 0, 1], [4.5, 6.5], atol=1e-6)
    shifted = roi_align([ramp()], boxes, 2, [4], aligned=False).numpy()[0, 0]
    np.testing.assert_allclose(shifted, aligned + 0.5, atol=1e-6)

    # A box smaller than a cell is stretched to one cell if not aligned, and kept if it is.
    tiny = tf.constant([[[20.0, 20.0, 21.0, 21.0]]])
    kept = roi_align([ramp()], tiny, (1, 2), [4]).numpy()[0, 0, 0, :, 0]
    np.testing.assert_allclose(kept, [4.5 + 0.0625, 4.5 + 0.1875], atol=1e-6)
    stretched = roi_align([ramp()], tiny, (1, 2), [4], aligned=False).numpy()[0, 0, 0, :, 0]
    np.testing.assert_allclose(stretched, [5.25, 5.75], atol=1e-6)

    # At the rim: points up to one cell outside take the nearest cell, farther ones count as 0.
    # The box spans -3.5 to 0.5; its four points lie at -3, -2, -1 and 0, of which two count.
    edge = tf.constant([[[-12.0, 0.0, 4.0, 16.0]]])
    ones = roi_align([tf.ones([1, 16, 16, 1])], edge, (1, 2), [4]).numpy()[0, 0, 0, :, 0]
    np.testing.assert_allclose(ones, [0.0, 1.0], atol=1e-6)


@pytest.mark.parametrize("sampling_ratio", [0, 1, 2, 3])
@pytest.mark.parametrize("aligned", [True, False])
def test_equals_the_slow_reference(each_implementation, rng, sampling_ratio, aligned):
    pyramid, boxes = random_pyramid(rng), random_boxes(rng, count=8)
    strides = [4, 8, 16]
    arguments = {"sampling_ratio": sampling_ratio, "aligned": aligned}
    pooled = roi_align(
        pyramid, boxes, 3, strides, canonical_size=60, canonical_level=3, **arguments
    )
    assert pooled.shape == [2, 8, 3, 3, 5]
    for image in range(2):
        maps = [features[image].numpy() for features in pyramid]
        expected = reference.roi_align(
            maps, boxes[image], 3, strides, sampling_ratio, aligned, (60, 3)
        )
        np.testing.assert_allclose(pooled[image], expected, atol=2e-5)


def test_equals_detectron2(each_implementation):
    features = tf.transpose(GOLDEN["roialign.features"], [0, 2, 3, 1])
    boxes = GOLDEN["roialign.boxes"][None]
    for size, sampling_ratio, aligned, key in [
        (7, 0, True, "out7_sr0"),
        (7, 2, True, "out7_sr2"),
        (14, 0, True, "out14_sr0"),
        (14, 2, True, "out14_sr2"),
        (7, 2, False, "out7_sr2_not_aligned"),
    ]:
        pooled = roi_align([features], boxes, size, [4], sampling_ratio, aligned)[0]
        expected = GOLDEN[f"roialign.{key}"].transpose(0, 2, 3, 1)
        np.testing.assert_allclose(pooled, expected, rtol=1e-5, atol=2e-5, err_msg=key)


def test_levels_equal_detectron2(each_implementation):
    # Each map holds its own level everywhere, so the pooled value tells where a box came from.
    pyramid = [tf.fill([1, 1024 >> i, 1024 >> i, 1], float(2 + i)) for i in range(4)]
    side = GOLDEN["levels.side"]
    boxes = np.stack([side * 0, side * 0, side, side], -1)[None]
    pooled = roi_align(pyramid, boxes, 1, [4, 8, 16, 32])[0, :, 0, 0, 0]
    np.testing.assert_array_equal(np.round(pooled), GOLDEN["levels.level"])


def test_hostile_boxes_pool_to_finite_numbers(each_implementation, rng):
    pyramid = random_pyramid(rng, batch=1)
    for sampling_ratio in (0, 2):
        pooled = roi_align(pyramid, HOSTILE[None], 3, [4, 8, 16], sampling_ratio).numpy()[0]
        assert np.isfinite(pooled).all()
        assert not pooled[:4].any()  # not finite, or as good as
        assert not pooled[5].any() and not pooled[8].any()  # outside
        assert pooled[9].any() and pooled[10].any()  # partly inside


def test_nothing_in_gives_nothing_out(each_implementation):
    assert roi_align([ramp()], tf.zeros([1, 0, 4]), 7, [4]).shape == [1, 0, 7, 7, 2]
    assert roi_align([tf.zeros([0, 8, 8, 2])], tf.zeros([0, 3, 4]), 7, [4]).shape == [0, 3, 7, 7, 2]
    assert roi_align([ramp()], tf.zeros([1, 0, 4]), 7, [4], sampling_ratio=0).shape[1] == 0


# Whole blocks of channels, whole vectors and single channels; and one case of adaptive sampling,
# which is slow in plain TensorFlow.
@pytest.mark.parametrize(("channels", "sampling_ratio"), [(3, 2), (24, 2), (100, 2), (7, 0)])
def test_compiled_equals_plain(compiled_ops, rng, channels, sampling_ratio):
    pyramid = random_pyramid(rng, channels=channels)
    boxes = np.concatenate([random_boxes(rng), np.stack([HOSTILE, HOSTILE])], axis=1)
    weights = tf.constant(rng.normal(size=[2, 52, 4, 3, channels]), tf.float32)
    results = {}
    for name in ("plain", "compiled"):
        with implementation(name), tf.GradientTape() as tape:
            tape.watch(pyramid)
            pooled = roi_align(
                pyramid,
                boxes,
                (4, 3),
                [4, 8, 16],
                sampling_ratio,
                canonical_size=60,
                canonical_level=3,
            )
            loss = tf.reduce_sum(pooled * weights)
        gradients = [tf.convert_to_tensor(g).numpy() for g in tape.gradient(loss, pyramid)]
        results[name] = [pooled.numpy(), *gradients]
    for plain, compiled in zip(results["plain"], results["compiled"], strict=True):
        assert np.abs(plain).max() > 0
        np.testing.assert_allclose(compiled, plain, atol=1e-5 * max(1, np.abs(plain).max()))


def test_gradient_is_the_slope(each_implementation, rng):
    features = tf.constant(rng.normal(size=[1, 6, 7, 3]), tf.float32)
    boxes = tf.Variable([[[3.0, 2.0, 19.0, 21.0], [-3.0, 1.0, 6.0, 5.0]]])
    weights = tf.constant(rng.normal(size=[1, 2, 2, 2, 3]), tf.float32)

    def loss(values):
        return tf.reduce_sum(roi_align([values], boxes, 2, [4]) * weights)

    with tf.GradientTape() as tape:
        tape.watch(features)
        value = loss(features)
    gradient, of_boxes = tape.gradient(value, [features, boxes])
    assert of_boxes is None
    direction = tf.constant(rng.normal(size=[1, 6, 7, 3]), tf.float32)
    slope = (loss(features + direction) - loss(features - direction)) / 2  # the op is linear
    expected = tf.reduce_sum(tf.convert_to_tensor(gradient) * direction)
    np.testing.assert_allclose(slope, expected, rtol=1e-4)


def test_gradient_does_not_depend_on_the_run(compiled_ops, rng):
    pyramid = random_pyramid(rng, channels=64)
    boxes = random_boxes(rng, count=300)
    runs = []
    for _ in range(3):
        with implementation("compiled"), tf.GradientTape() as tape:
            tape.watch(pyramid)
            loss = tf.reduce_sum(roi_align(pyramid, boxes, 7, [4, 8, 16]) ** 2)
        runs.append([gradient.numpy() for gradient in tape.gradient(loss, pyramid)])
    for run in runs[1:]:
        for first, again in zip(runs[0], run, strict=True):
            np.testing.assert_array_equal(first, again)


def test_unknown_shapes(each_implementation, rng):
    pyramid = random_pyramid(rng)
    boxes = random_boxes(rng)

    @tf.function(
        input_signature=[
            [tf.TensorSpec([None, None, None, 5])] * 3,
            tf.TensorSpec([None, None, 4]),
        ]
    )
    def pool(pyramid, boxes):
        pooled = roi_align(pyramid, boxes, 7, [4, 8, 16])
        assert pooled.shape.as_list() == [None, None, 7, 7, 5]
        return pooled

    expected = roi_align(pyramid, boxes, 7, [4, 8, 16])
    # Graph optimisation turns divisions into products: the last bit of a coordinate differs.
    np.testing.assert_allclose(pool(pyramid, boxes), expected, atol=1e-4)


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
def test_half_precision_is_rounded_once(each_implementation, rng, dtype):
    narrow = [tf.cast(features, dtype) for features in random_pyramid(rng, channels=70)]
    boxes = np.concatenate([random_boxes(rng), np.stack([HOSTILE, HOSTILE])], axis=1)
    weights = tf.cast(rng.normal(size=[2, 52, 3, 3, 70]), dtype)
    results = {}
    for name, pyramid in {
        "narrow": narrow,
        "wide": [tf.cast(features, tf.float32) for features in narrow],
    }.items():
        with tf.GradientTape() as tape:
            tape.watch(pyramid)
            pooled = roi_align(pyramid, boxes, 3, [4, 8, 16])
            loss = tf.reduce_sum(pooled * tf.cast(weights, pooled.dtype))
        gradients = [tf.convert_to_tensor(g) for g in tape.gradient(loss, pyramid)]
        results[name] = [pooled, *gradients]
    for actual, wide in zip(results["narrow"], results["wide"], strict=True):
        assert actual.dtype == dtype
        np.testing.assert_array_equal(actual, tf.cast(wide, dtype))


def test_wrong_arguments_are_named(each_implementation):
    boxes = tf.zeros([1, 2, 4])
    with pytest.raises(ValueError, match="one stride for each map"):
        roi_align([ramp()], boxes, 7, [4, 8])
    with pytest.raises(ValueError, match="strides must double"):
        roi_align([ramp(), ramp()], boxes, 7, [4, 16])
    with pytest.raises(ValueError, match=r"boxes must end in a dimension of 4, got .*1, 2, 5"):
        roi_align([ramp()], tf.zeros([1, 2, 5]), 7, [4])
    with pytest.raises(ValueError, match=r"pyramid\[0\] must have 4 dimensions"):
        roi_align([tf.zeros([16, 16, 2])], boxes, 7, [4])
    with pytest.raises(ValueError, match=r"pyramid\[0\] must be float32.*got float64"):
        roi_align([tf.zeros([1, 16, 16, 2], tf.float64)], boxes, 7, [4])
    with pytest.raises(ValueError, match=r"pyramid\[1\].*got float16; pyramid\[0\] is float32"):
        roi_align([ramp(), tf.zeros([1, 8, 8, 2], tf.float16)], boxes, 7, [4, 8])
    with pytest.raises(ValueError, match="sampling_ratio"):
        roi_align([ramp()], boxes, 7, [4], sampling_ratio=-1)


def test_compiled_op_checks_what_is_known_only_at_run_time(compiled_ops):
    @tf.function(input_signature=[tf.TensorSpec(None), tf.TensorSpec(None)])
    def pool(features, boxes):
        ops = load()
        return ops.mrcnn_roi_align(
            pyramid=[features],
            boxes=boxes,
            output_height=2,
            output_width=2,
            strides=[4],
            level_areas=[],
        )

    invalid = tf.errors.InvalidArgumentError
    with pytest.raises(invalid, match=r"boxes must be \[B, N, 4\], got \[1,2,5\]"):
        pool(ramp(), tf.zeros([1, 2, 5]))
    with pytest.raises(invalid, match=r"pyramid\[0\] must be \[B, H, W, C\].*got \[1,16,16,2\]"):
        pool(ramp(), tf.zeros([3, 2, 4]))
    with pytest.raises(invalid, match=r"pyramid\[0\].*got \[1,0,4,2\]"):
        pool(tf.zeros([1, 0, 4, 2]), tf.zeros([1, 2, 4]))
