"""The compiled kernels on NumPy arrays, without TensorFlow."""

import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from tests.ops import reference

kernels = pytest.importorskip("mrcnn_tf.kernels", reason="the compiled module is not built")


def random_boxes(rng, *shape, extent=64.0) -> np.ndarray:
    corner = rng.uniform(-5, extent, [*shape, 2])
    return np.concatenate([corner, corner + rng.uniform(0, extent, [*shape, 2])], -1).astype("f4")


@pytest.mark.parametrize("sampling_ratio", [0, 2])
@pytest.mark.parametrize("aligned", [True, False])
def test_roi_align_equals_reference(sampling_ratio, aligned):
    rng = np.random.default_rng(1)
    pyramid = [rng.normal(size=[2, size, size, 5]).astype("f4") for size in (16, 8)]
    boxes = random_boxes(rng, 2, 6)
    boxes[0, 0, 2] = np.nan
    arguments = {"canonical_size": 40.0, "canonical_level": 3}
    pooled = kernels.roi_align(
        pyramid, boxes, 3, [4, 8], sampling_ratio=sampling_ratio, aligned=aligned, **arguments
    )
    for image in range(2):
        expected = reference.roi_align(
            [features[image] for features in pyramid],
            boxes[image],
            3,
            [4, 8],
            sampling_ratio,
            aligned,
            canonical=(40, 3),
        )
        np.testing.assert_allclose(pooled[image], expected, atol=2e-5)


def test_roi_align_grad_is_the_transpose_of_roi_align():
    rng = np.random.default_rng(2)
    pyramid = [rng.normal(size=[2, *size, 17]).astype("f4") for size in ((16, 12), (8, 6))]
    boxes = random_boxes(rng, 2, 5)
    pooled = kernels.roi_align(pyramid, boxes, (3, 2), [4, 8], canonical_size=400.0)
    gradient = rng.normal(size=pooled.shape).astype("f4")
    gradients = kernels.roi_align_grad(
        gradient, boxes, [(16, 12), (8, 6)], [4, 8], canonical_size=400.0
    )
    assert [g.shape for g in gradients] == [features.shape for features in pyramid]
    inner = sum(np.vdot(f.astype("f8"), g) for f, g in zip(pyramid, gradients, strict=True))
    assert inner == pytest.approx(np.vdot(pooled.astype("f8"), gradient), abs=1e-3)
    assert abs(inner) > 1


def test_nms_equals_reference():
    rng = np.random.default_rng(3)
    boxes = random_boxes(rng, 3, 40)
    scores = (rng.integers(0, 10, [3, 40]) / 10).astype("f4")
    scores[0, 3], boxes[1, 2, 0] = np.nan, np.inf
    classes = rng.integers(0, 2, [3, 40]).astype("i4")
    indices, count = kernels.nms(boxes, scores, classes, 0.3, 0.05, max_output=12)
    for image in range(3):
        expected = reference.nms(boxes[image], scores[image], classes[image], 0.3, 0.05, 12)
        assert count[image] == len(expected) > 5
        assert indices[image].tolist() == expected + [0] * (12 - len(expected))


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("allow_low_quality", [True, False])
def test_match_boxes_equals_reference(shared, allow_low_quality):
    rng = np.random.default_rng(4)
    anchors = random_boxes(rng, 50) if shared else random_boxes(rng, 2, 50)
    boxes, valid = random_boxes(rng, 2, 5), rng.random([2, 5]) < 0.7
    matches = kernels.match_boxes(anchors, boxes, valid, 0.5, 0.3, allow_low_quality)
    for image in range(2):
        expected = reference.match_boxes(
            anchors if shared else anchors[image],
            boxes[image],
            valid[image],
            0.5,
            0.3,
            allow_low_quality,
        )
        assert matches[image].tolist() == expected


def test_empty_inputs():
    boxes, scores = np.zeros([2, 0, 4], "f4"), np.zeros([2, 0], "f4")
    features = np.zeros([2, 4, 4, 3], "f4")
    assert kernels.roi_align([features], boxes, 7, [4]).shape == (2, 0, 7, 7, 3)
    indices, count = kernels.nms(boxes, scores, scores.astype("i4"), 0.5, 0.0, 4)
    assert indices.tolist() == [[0] * 4] * 2 and count.tolist() == [0, 0]
    matches = kernels.match_boxes(np.ones([3, 4], "f4"), boxes, scores > 0, 0.5, 0.3, True)
    assert matches.tolist() == [[-1] * 3] * 2


def call(name, **changes):
    boxes = np.zeros([1, 2, 4], "f4")
    arguments = {
        "roi_align": {
            "pyramid": [np.zeros([1, 4, 4, 3], "f4")],
            "boxes": boxes,
            "output_size": 2,
            "strides": [4],
        },
        "roi_align_grad": {
            "gradient": np.zeros([1, 2, 2, 2, 3], "f4"),
            "boxes": boxes,
            "pyramid_sizes": [(4, 4)],
            "strides": [4],
        },
        "nms": {
            "boxes": boxes,
            "scores": np.zeros([1, 2], "f4"),
            "classes": np.zeros([1, 2], "i4"),
            "iou_threshold": 0.5,
            "score_threshold": 0.0,
            "max_output": 3,
        },
        "match_boxes": {
            "anchors": np.zeros([5, 4], "f4"),
            "boxes": boxes,
            "valid": np.ones([1, 2], bool),
            "high_threshold": 0.7,
            "low_threshold": 0.3,
            "allow_low_quality": True,
        },
    }[name]
    return getattr(kernels, name)(**{**arguments, **changes})


@pytest.mark.parametrize("name", ["roi_align", "roi_align_grad", "nms", "match_boxes"])
def test_boxes_are_checked(name):
    call(name)
    with pytest.raises(TypeError, match="boxes .*float32.*float64"):
        call(name, boxes=np.zeros([1, 2, 4]))
    with pytest.raises(TypeError, match="boxes must be a NumPy array"):
        call(name, boxes=[[[0.0] * 4] * 2])
    with pytest.raises(ValueError, match=r"boxes .*\[\?, \?, 4\].*\(1, 2, 5\)"):
        call(name, boxes=np.zeros([1, 2, 5], "f4"))
    with pytest.raises(ValueError, match="boxes must be contiguous"):
        call(name, boxes=np.zeros([1, 4, 4], "f4")[:, ::2])
    with pytest.raises(TypeError, match="boxes"):
        call(name, boxes=np.zeros([1, 2, 4], ">f4"))


@pytest.mark.parametrize(
    ("name", "changes", "named"),
    [
        ("roi_align", {"pyramid": []}, "strides"),
        ("roi_align", {"pyramid": [np.zeros([2, 4, 4, 3], "f4")]}, r"pyramid\[0\]"),
        ("roi_align", {"pyramid": [np.zeros([1, 0, 4, 3], "f4")]}, "pyramid"),
        ("roi_align", {"output_size": 0}, "output_size"),
        ("roi_align", {"output_size": (2, -1)}, "output_size"),
        ("roi_align", {"strides": [0]}, "strides"),
        ("roi_align", {"pyramid": [np.zeros([1, 4, 4, 3], "f4")] * 2, "strides": [4, 4]}, "double"),
        ("roi_align", {"sampling_ratio": -1}, "sampling_ratio"),
        ("roi_align_grad", {"pyramid_sizes": [(4, -4)]}, "pyramid_sizes"),
        ("roi_align_grad", {"pyramid_sizes": [(4, 4), (2, 2)]}, "strides"),
        ("roi_align_grad", {"gradient": np.zeros([1, 3, 2, 2, 3], "f4")}, "gradient"),
        ("nms", {"scores": np.zeros([1, 3], "f4")}, "scores"),
        ("nms", {"classes": np.zeros([2, 2], "i4")}, "classes"),
        ("nms", {"iou_threshold": 1.5}, "iou_threshold"),
        ("nms", {"iou_threshold": float("nan")}, "iou_threshold"),
        ("nms", {"score_threshold": float("nan")}, "score_threshold"),
        ("nms", {"max_output": 0}, "max_output"),
        ("match_boxes", {"valid": np.ones([1, 3], bool)}, "valid"),
        ("match_boxes", {"anchors": np.zeros([2, 5, 4], "f4")}, "anchors"),
        ("match_boxes", {"low_threshold": 0.8}, "low_threshold"),
    ],
)
def test_wrong_values_are_named(name, changes, named):
    with pytest.raises(ValueError, match=named):
        call(name, **changes)


def test_wrong_dtypes_are_named():
    with pytest.raises(TypeError, match="classes .*int32.*int64"):
        call("nms", classes=np.zeros([1, 2], "i8"))
    with pytest.raises(TypeError, match="valid .*bool.*uint8"):
        call("match_boxes", valid=np.ones([1, 2], "u1"))
    with pytest.raises(TypeError, match="output_size"):
        call("roi_align", output_size="7")


def test_importing_does_not_import_tensorflow():
    code = "import mrcnn_tf.kernels, sys; print('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stdout + done.stderr


def test_other_threads_run_meanwhile():
    anchors = np.tile(np.array([0, 0, 9, 9], "f4"), [100000, 1])
    boxes = np.tile(np.array([0, 0, 9, 9], "f4"), [8, 300, 1])
    valid = np.ones([8, 300], bool)
    finished = threading.Event()

    def work():
        kernels.match_boxes(anchors, boxes, valid, 0.5, 0.5, True)
        finished.set()

    thread = threading.Thread(target=work)
    start = time.perf_counter()
    thread.start()
    ticks = 0
    while not finished.is_set():
        ticks += 1
        time.sleep(0.001)
    elapsed = time.perf_counter() - start
    thread.join()
    # With the lock held throughout, this thread would wake once, when all is over.
    assert elapsed > 0.02
    assert ticks > 5
