"""The kernels for GPUs inside their ops, emulated on the CPU: equal to the compiled ops."""

import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework import config

from mrcnn_tf.ops import load

CHECKOUT = Path(__file__).resolve().parents[2]
# Kept between runs: only what has changed since is compiled again.
BUILD = CHECKOUT / "build" / "emulated_ops"
HOSTILE = [np.nan, np.inf, -np.inf, 3e38, -3e38, 1e19, 0, 1e-45]


@pytest.fixture(scope="session")
def emulated(compiled_ops) -> ModuleType:
    """The ops of the test library: the GPU's classes and kernels, for the CPU."""
    beside_python = Path(sys.executable).parent / "cmake"
    cmake = beside_python if beside_python.exists() else shutil.which("cmake")
    if cmake is None:
        pytest.skip("CMake is not installed: pip install cmake")
    options = {
        "MRCNN_TESTING": "ON",
        "MRCNN_TENSORFLOW_DIR": Path(tf.__file__).parent,
        "MRCNN_TENSORFLOW_VERSION": metadata.version("tensorflow"),
        "CMAKE_CXX_FLAGS_RELEASE": "-O1",
    }
    for arguments in (
        ["-S", CHECKOUT, "-B", BUILD, *(f"-D{name}={value}" for name, value in options.items())],
        ["--build", BUILD, "--parallel", "2", "--target", "mrcnn_emulated_ops"],
    ):
        done = subprocess.run([cmake, *arguments], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    return tf.load_op_library(str(BUILD / "libmrcnn_emulated_ops.so"))


@pytest.fixture
def both(emulated):
    """Calls an op as compiled and as emulated; returns the outputs of each as two lists."""

    def call(name, *inputs, **attributes):
        results = []
        for op in (getattr(load(), name), getattr(emulated, f"{name}_emulated")):
            # All outputs at once: one tensor, a list, or a tuple of either.
            outputs = tf.nest.flatten(op(*inputs, **attributes))
            results.append([output.numpy() for output in outputs])
        return results

    return call


def make_hostile(rng, values):
    chosen = rng.random(values.shape) < 0.02
    values[chosen] = rng.choice(HOSTILE, chosen.sum())
    return values


def random_boxes(rng, *shape):
    """Boxes in a square of 100 pixels, many of them equal or touching, some empty or hostile."""
    corners = rng.integers(-2, 20, [*shape, 2]) * 5.0
    boxes = np.concatenate([corners, corners + rng.integers(-1, 8, [*shape, 2]) * 7.5], -1)
    return make_hostile(rng, boxes.astype(np.float32))


def random_scores(rng, *shape):
    return make_hostile(rng, (rng.integers(0, 50, shape) / 50).astype(np.float32))


def assert_equal(results, count):
    compiled, emulated = results
    assert len(compiled) == len(emulated) == count
    for one, other in zip(compiled, emulated, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("anchors, boxes", [(300, 7), (5, 1), (0, 3), (20, 0)])
def test_match_boxes(both, rng, anchors, boxes):
    for shape in ([anchors], [2, anchors]):
        inputs = (
            random_boxes(rng, *shape),
            random_boxes(rng, 2, boxes),
            rng.random([2, boxes]) < 0.8,
        )
        for low_quality in (False, True):
            thresholds = {"high_threshold": 0.5, "low_threshold": 0.3}
            results = both(
                "mrcnn_match_boxes", *inputs, allow_low_quality=low_quality, **thresholds
            )
            assert_equal(results, 1)


@pytest.mark.parametrize("masks, height, width", [(6, 50, 70), (1, 1, 1), (0, 9, 9), (3, 0, 5)])
def test_paste_masks(both, rng, masks, height, width):
    values = rng.random([masks, 28, 28]).astype(np.float32)
    boxes = random_boxes(rng, masks)
    assert_equal(both("mrcnn_paste_masks", values, boxes, height, width, threshold=0.5), 1)


@pytest.mark.parametrize("mode", ["hard", "linear", "gaussian"])
@pytest.mark.parametrize("boxes, top", [(700, 0), (700, 150), (30, 0), (0, 5)])
def test_nms(both, rng, mode, boxes, top):
    classes = rng.integers(0, 3, [2, boxes]).astype(np.int32)
    inputs = random_boxes(rng, 2, boxes), random_scores(rng, 2, boxes), classes
    attributes = {"iou_threshold": 0.4, "score_threshold": 0.1, "max_output": 40, "sigma": 0.5}
    results = both("mrcnn_nms", *inputs, mode=mode, pre_nms_top_n=top, **attributes)
    assert_equal(results, 3)
    assert (results[0][1] > 0).all() == (boxes > 0)


@pytest.mark.parametrize("levels", [(600, 90, 3), (200,), (0, 10), (0,)])
def test_proposals(both, rng, levels):
    logits = [random_scores(rng, 2, size) for size in levels]
    deltas = [rng.normal(0, 0.3, [2, size, 4]).astype(np.float32) for size in levels]
    anchors = [random_boxes(rng, size) for size in levels]
    sizes = np.array([[100, 80], [60, 120]], np.float32)
    results = both(
        *("mrcnn_proposals", logits, deltas, anchors, sizes),
        pre_nms_top_n=250,
        post_nms_top_n=120,
        nms_threshold=0.7,
        min_size=1e-3,
    )
    assert_equal(results, 3)
    assert (results[0][2] > 0).all() == (sum(levels) > 0)


@pytest.mark.parametrize("dtype", [tf.float32, tf.float16, tf.bfloat16])
@pytest.mark.parametrize("boxes", [9, 0])
def test_roi_align_and_its_gradient(both, rng, dtype, boxes):
    pyramid = [tf.cast(rng.normal(size=[2, side, side, 5]), dtype) for side in (16, 8)]
    places = random_boxes(rng, 2, boxes)
    attributes = {
        **{"output_height": 3, "output_width": 4, "strides": [4, 8], "level_areas": [900.0]},
        **{"sampling_ratio": 2, "aligned": True},
    }
    # Sums of another order, then rounded to the type.
    tolerance = {tf.float32: 1e-5, tf.float16: 2e-3, tf.bfloat16: 2e-2}[dtype]
    compiled, emulated = both("mrcnn_roi_align", pyramid, places, **attributes)
    assert compiled[0].shape == (2, boxes, 3, 4, 5) and len(emulated) == 1
    assert emulated[0].dtype == compiled[0].dtype
    np.testing.assert_allclose(
        emulated[0].astype(np.float32), compiled[0].astype(np.float32), tolerance, tolerance
    )
    gradient = tf.cast(rng.normal(size=compiled[0].shape), dtype)
    shapes = [tf.shape(level) for level in pyramid]
    compiled, emulated = both("mrcnn_roi_align_grad", gradient, places, shapes, **attributes)
    assert len(compiled) == len(emulated) == 2
    for one, other in zip(compiled, emulated, strict=True):
        assert one.shape == other.shape and one.dtype == other.dtype
        assert boxes == 0 or one.any()
        np.testing.assert_allclose(
            other.astype(np.float32), one.astype(np.float32), tolerance, 4 * tolerance
        )


def test_wrong_shapes_are_named(emulated, rng):
    boxes, scores = random_boxes(rng, 2, 6), random_scores(rng, 2, 6)
    classes = np.zeros([2, 6], np.int32)
    nms = {"iou_threshold": 0.5, "score_threshold": 0.1, "max_output": 5}
    match = {"high_threshold": 0.5, "low_threshold": 0.3, "allow_low_quality": True}
    top = {"pre_nms_top_n": 5, "post_nms_top_n": 5, "nms_threshold": 0.7, "min_size": 0.0}
    roi = {"output_height": 2, "output_width": 2, "strides": [4], "level_areas": []}
    sizes, pyramid = np.ones([2, 2], np.float32), np.zeros([3, 4, 4, 1], np.float32)
    wrong_level = ([scores], [boxes[:1]], [boxes[0]], sizes)
    calls = [
        (r"scores must be \[2,6\]", "nms", (boxes, scores[:, :5], classes), nms),
        (r"boxes must be \[B, M, 4\]", "match_boxes", (boxes[0], boxes[0], scores > 0), match),
        (r"valid must be \[2,6\]", "match_boxes", (boxes[0], boxes, scores[:1] > 0), match),
        (r"boxes must be \[2,4\]", "paste_masks", (boxes, boxes[0], 9, 9), {"threshold": 0.5}),
        (r"deltas\[0\] must be \[2,6,4\]", "proposals", wrong_level, top),
        (r"pyramid\[0\] must be \[B, H, W, C\]", "roi_align", ([pyramid], boxes), roi),
    ]
    for message, name, inputs, attributes in calls:
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            getattr(emulated, f"mrcnn_{name}_emulated")(*inputs, **attributes)


def test_op_determinism_sums_a_gradient_in_order(both, rng):
    """TensorFlow's switch takes another kernel, whose sums differ in the last bits."""
    gradient = tf.constant(rng.normal(size=[1, 60, 3, 3, 9]), tf.float32)
    corners = rng.uniform(0, 40, [1, 60, 2])
    boxes = np.concatenate([corners, corners + rng.uniform(5, 25, [1, 60, 2])], -1)
    arguments = ("mrcnn_roi_align_grad", gradient, boxes.astype(np.float32), [[1, 16, 16, 9]])
    attributes = {"output_height": 3, "output_width": 3, "strides": [4], "aligned": True}
    compiled, by_atomics = (result[0] for result in both(*arguments, **attributes))
    tf.config.experimental.enable_op_determinism()
    try:
        runs = [both(*arguments, **attributes)[1][0] for _ in range(2)]
    finally:
        config.disable_op_determinism()
    np.testing.assert_array_equal(runs[0], runs[1])
    np.testing.assert_allclose(runs[0], compiled, atol=1e-5)
    np.testing.assert_allclose(by_atomics, compiled, atol=1e-5)
    assert (runs[0] != by_atomics).any()
