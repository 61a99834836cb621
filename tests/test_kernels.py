"""The compiled kernels on NumPy arrays, without TensorFlow."""

import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from pycocotools import mask as mask_utils

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
    for top_n in (0, 15):
        indices, count = kernels.nms(boxes, scores, classes, 0.3, 0.05, 12, pre_nms_top_n=top_n)
        for image in range(3):
            expected = reference.nms(
                boxes[image], scores[image], classes[image], 0.3, 0.05, 12, top_n
            )
            assert count[image] == len(expected) > 5
            assert indices[image].tolist() == expected + [0] * (12 - len(expected))


@pytest.mark.parametrize("method", ["linear", "gaussian"])
def test_soft_nms_equals_reference(method):
    rng = np.random.default_rng(5)
    boxes, scores = random_boxes(rng, 2, 40), rng.random([2, 40]).astype("f4")
    scores[0, 3], boxes[1, 2, 0] = np.nan, np.inf
    classes = rng.integers(0, 2, [2, 40]).astype("i4")
    options = {"sigma": 0.3, "iou_threshold": 0.2, "score_threshold": 0.1, "max_output": 30}
    indices, lowered, count = kernels.soft_nms(boxes, scores, classes, method, **options)
    for image in range(2):
        expected = reference.soft_nms(
            boxes[image], scores[image], classes[image], method, **options
        )
        assert count[image] == len(expected) > 5
        padding = [(0, 0.0)] * (30 - len(expected))
        expected_indices, expected_scores = zip(*expected, *padding, strict=True)
        assert indices[image].tolist() == list(expected_indices)
        np.testing.assert_allclose(lowered[image], expected_scores, rtol=1e-5)


def test_proposals_equal_reference():
    rng = np.random.default_rng(6)
    anchors = [random_boxes(rng, count) for count in (60, 20)]
    deltas = [rng.normal(0, 0.3, [2, len(level), 4]).astype("f4") for level in anchors]
    logits = [(rng.integers(-40, 40, [2, len(level)]) / 8).astype("f4") for level in anchors]
    logits[0][0, 5], deltas[1][1, 2, 0] = np.nan, np.inf
    sizes = np.array([[60, 90], [50, 40]], "f4")
    boxes, kept, count = kernels.proposals(logits, deltas, anchors, sizes, 40, 50, 0.6)
    for image in range(2):
        of_image = [[level[image] for level in levels] for levels in (logits, deltas)]
        expected = reference.proposals(*of_image, anchors, sizes[image], 40, 50, 0.6, 1e-3)
        real = len(expected)
        assert count[image] == real > 5
        assert kept[image, :real].tolist() == [row[0] for row in expected]
        np.testing.assert_allclose(boxes[image, :real], [row[3] for row in expected], atol=1e-3)
        assert not boxes[image, real:].any() and (kept[image, real:] == -np.inf).all()


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


def test_roi_align_of_float16_is_rounded_once():
    rng = np.random.default_rng(7)
    half = rng.normal(size=[1, 16, 16, 19]).astype("f2")
    boxes = random_boxes(rng, 1, 8)
    pooled = kernels.roi_align([half], boxes, 3, [4])
    wide = kernels.roi_align([half.astype("f4")], boxes, 3, [4])
    assert pooled.dtype == np.float16 and wide.any()
    np.testing.assert_array_equal(pooled, wide.astype("f2"))
    gradients = [
        kernels.roi_align_grad(gradient, boxes, [(16, 16)], [4])[0]
        for gradient in (pooled, pooled.astype("f4"))
    ]
    assert gradients[0].dtype == np.float16
    np.testing.assert_array_equal(gradients[0], gradients[1].astype("f2"))
    with pytest.raises(TypeError, match=r"pyramid\[1\] must be of dtype float16, got float32"):
        kernels.roi_align([half, half[:, :8].astype("f4")], boxes, 3, [4, 8])


def test_a_full_mask_is_pasted_and_pooled():
    masks, boxes = np.ones([1, 28, 28], "f4"), np.array([[10, 5, 30, 25]], "f4")
    pasted = kernels.paste_masks(masks, boxes, 40, 50)
    expected = np.zeros([1, 40, 50], np.uint8)
    expected[0, 5:25, 10:30] = 1
    np.testing.assert_array_equal(pasted, expected)
    counts = mask_utils.encode(np.asfortranarray(expected[0]))["counts"].decode()
    assert kernels.masks_to_rle(masks, boxes, 40, 50) == [counts]
    # A RoI whose right half lies on the object's left half: the bin at the edge sees half of it.
    arguments = {
        "masks": np.packbits(np.ones(400, np.uint8))[None],
        "mask_shapes": np.array([[[20, 20]]], "i4"),
        "mask_boxes": boxes[None],
        "rois": np.array([[[0, 10, 20, 20]]], "f4"),
        "matches": np.zeros([1, 1], "i4"),
    }
    targets = kernels.mask_targets(**arguments, size=4)
    np.testing.assert_allclose(targets[0, 0], [[0, 0, 1, 1]] * 4)
    odd = kernels.mask_targets(**arguments, size=3)
    np.testing.assert_allclose(odd[0, 0], [[0, 0.5, 1]] * 3, atol=0.02)
    binary = kernels.mask_targets(**arguments, size=3, binary=True)
    assert set(np.unique(binary)) == {0.0, 1.0}
    with pytest.raises(ValueError, match="matches must be below the number of objects, 1"):
        kernels.mask_targets(**{**arguments, "matches": np.ones([1, 1], "i4")}, size=3)
    with pytest.raises(ValueError, match=r"rois must have the shape \[1, \?, 4\]"):
        kernels.mask_targets(**{**arguments, "rois": np.zeros([2, 1, 4], "f4")}, size=3)
    with pytest.raises(ValueError, match="size must be positive"):
        kernels.mask_targets(**arguments, size=0)


def test_empty_inputs():
    boxes, scores = np.zeros([2, 0, 4], "f4"), np.zeros([2, 0], "f4")
    features = np.zeros([2, 4, 4, 3], "f4")
    assert kernels.roi_align([features], boxes, 7, [4]).shape == (2, 0, 7, 7, 3)
    indices, count = kernels.nms(boxes, scores, scores.astype("i4"), 0.5, 0.0, 4)
    assert indices.tolist() == [[0] * 4] * 2 and count.tolist() == [0, 0]
    indices, lowered, count = kernels.soft_nms(boxes, scores, scores.astype("i4"), max_output=4)
    assert lowered.tolist() == [[0.0] * 4] * 2 and count.tolist() == [0, 0]
    sizes = np.ones([2, 2], "f4")
    kept, logits, count = kernels.proposals([scores], [boxes], [boxes[0]], sizes, 5, 3, 0.5)
    assert not kept.any() and (logits == -np.inf).all() and count.tolist() == [0, 0]
    matches = kernels.match_boxes(np.ones([3, 4], "f4"), boxes, scores > 0, 0.5, 0.3, True)
    assert matches.tolist() == [[-1] * 3] * 2


def test_rasterize_polygons_equals_pycocotools():
    rng = np.random.default_rng(6)
    parts = [1, 3, 0, 2, *rng.integers(0, 4, 40)]
    polygons = [
        rng.uniform(-20, 60, [rng.integers(3, 9), 2]).round(rng.integers(0, 3))
        for _ in range(sum(parts))
    ]
    object_splits = np.cumsum([0, *parts])
    drawn = kernels.rasterize_polygons(
        np.concatenate(polygons),
        np.cumsum([0, *(len(polygon) for polygon in polygons)]),
        object_splits,
        height=33,
        width=41,
    )
    assert drawn.shape == (44, 33, 41) and drawn.dtype == np.uint8 and not drawn[2].any()
    for i in range(len(parts)):
        of_object = polygons[object_splits[i] : object_splits[i + 1]]
        if of_object:
            flat = [polygon.reshape(-1).tolist() for polygon in of_object]
            expected = mask_utils.decode(mask_utils.merge(mask_utils.frPyObjects(flat, 33, 41)))
            np.testing.assert_array_equal(drawn[i], expected)


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
        "soft_nms": {
            "boxes": boxes,
            "scores": np.zeros([1, 2], "f4"),
            "classes": np.zeros([1, 2], "i4"),
        },
        "proposals": {
            "logits": [np.zeros([1, 2], "f4")],
            "deltas": [boxes],
            "anchors": [boxes[0]],
            "image_sizes": np.ones([1, 2], "f4"),
            "pre_nms_top_n": 5,
            "post_nms_top_n": 5,
            "nms_threshold": 0.7,
        },
        "match_boxes": {
            "anchors": np.zeros([5, 4], "f4"),
            "boxes": boxes,
            "valid": np.ones([1, 2], bool),
            "high_threshold": 0.7,
            "low_threshold": 0.3,
            "allow_low_quality": True,
        },
        "rasterize_polygons": {
            "points": np.array([[0, 0], [4, 0], [4, 4], [8, 8], [9, 9], [8, 9]], "f8"),
            "polygon_splits": np.array([0, 3, 6]),
            "object_splits": np.array([0, 1, 2]),
            "height": 4,
            "width": 4,
        },
    }[name]
    return getattr(kernels, name)(**{**arguments, **changes})


@pytest.mark.parametrize("name", ["roi_align", "roi_align_grad", "nms", "soft_nms", "match_boxes"])
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
        ("nms", {"pre_nms_top_n": -1}, "pre_nms_top_n"),
        ("soft_nms", {"method": "hard"}, "method"),
        ("soft_nms", {"sigma": 0.0}, "sigma"),
        ("soft_nms", {"score_threshold": -0.1}, "score_threshold"),
        ("soft_nms", {"classes": np.zeros([2, 2], "i4")}, "classes"),
        ("proposals", {"logits": []}, "one for each level, got 0, 1 and 1"),
        ("proposals", {"logits": [np.zeros([2, 2], "f4")]}, r"logits\[0\]"),
        ("proposals", {"deltas": [np.zeros([1, 3, 4], "f4")]}, r"deltas\[0\]"),
        ("proposals", {"anchors": [np.zeros([3, 4], "f4")]}, r"anchors\[0\]"),
        ("proposals", {"image_sizes": np.zeros([1, 3], "f4")}, "image_sizes"),
        ("proposals", {"pre_nms_top_n": 0}, "pre_nms_top_n"),
        ("proposals", {"nms_threshold": 1.1}, "nms_threshold"),
        ("match_boxes", {"valid": np.ones([1, 3], bool)}, "valid"),
        ("match_boxes", {"anchors": np.zeros([2, 5, 4], "f4")}, "anchors"),
        ("match_boxes", {"low_threshold": 0.8}, "low_threshold"),
        ("rasterize_polygons", {"points": np.zeros([6, 3])}, "points"),
        ("rasterize_polygons", {"polygon_splits": np.array([0, 3, 7])}, "polygon_splits .* to 6"),
        ("rasterize_polygons", {"polygon_splits": np.array([0, 7, 6])}, "polygon_splits"),
        ("rasterize_polygons", {"polygon_splits": np.array([1, 3, 6])}, "polygon_splits"),
        ("rasterize_polygons", {"polygon_splits": np.array([], "i8")}, "polygon_splits"),
        ("rasterize_polygons", {"object_splits": np.array([0, 1, 3])}, "object_splits .* to 2"),
        ("rasterize_polygons", {"object_splits": np.array([0, -1, 2])}, "object_splits"),
        ("rasterize_polygons", {"boxes": np.zeros([3, 4], "f4")}, "boxes"),
        ("rasterize_polygons", {"height": -1}, "height"),
        ("rasterize_polygons", {"width": 2**20 + 1}, "width"),
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
    with pytest.raises(TypeError, match="points .*float64.*float32"):
        call("rasterize_polygons", points=np.zeros([6, 2], "f4"))
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
