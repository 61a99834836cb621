"""NMS: cases by hand, a slow reference, Detectron2's result, hostile input."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from mrcnn_tf.ops import implementation, load, nms
from tests.ops import reference

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / reference.GOLDEN)
LOWEST = -float("inf")


def kept(result, image=0) -> list[int]:
    """The indices of one image without their padding, which must be 0."""
    indices, count = (values.numpy() for values in result)
    assert not indices[image, count[image] :].any()
    return indices[image, : count[image]].tolist()


def crowd(rng, batch, count, classes, extent=100):
    """Boxes that overlap a lot, with scores in steps so that many of them tie."""
    corners = rng.uniform(0, extent, [batch, count, 2])
    boxes = np.concatenate([corners, corners + rng.uniform(5, 40, [batch, count, 2])], -1)
    scores = rng.integers(0, 50, [batch, count]) / 50
    return (
        boxes.astype(np.float32),
        scores.astype(np.float32),
        rng.integers(0, classes, [batch, count]).astype(np.int32),
    )


def test_cases_by_hand(each_implementation):
    boxes = np.array([[[0, 0, 2, 2], [0, 0, 2, 1], [5, 5, 6, 6], [0, 0, 2, 1.5]]], np.float32)
    scores = np.array([[0.9, 0.8, 0.7, 0.6]], np.float32)
    same, apart = np.zeros([1, 4], np.int32), np.array([[0, 1, 2, 3]], np.int32)
    # IoU with box 0 is exactly 0.5 for box 1 and 0.75 for box 3; a threshold met is not exceeded.
    assert kept(nms(boxes, scores, same, 0.5, 0.0, 4)) == [0, 1, 2]
    assert kept(nms(boxes, scores, same, 0.49, 0.0, 4)) == [0, 2]
    assert kept(nms(boxes, scores, same, 0.75, 0.0, 4)) == [0, 1, 2, 3]
    assert kept(nms(boxes, scores, apart, 0.1, 0.0, 4)) == [0, 1, 2, 3]
    # A score at the threshold is not above it; the result stops at max_output.
    assert kept(nms(boxes, scores, apart, 0.1, np.float32(0.7), 4)) == [0, 1]
    assert kept(nms(boxes, scores, apart, 0.1, 0.0, 2)) == [0, 1]
    # Equal scores go by index, -0 equals 0, and negative scores are as good as any.
    ties = np.array([[0.0, -0.0, -3.0, 0.0]], np.float32)
    assert kept(nms(boxes, ties, apart, 0.5, LOWEST, 6)) == [0, 1, 3, 2]
    # A box of any orientation is the same box; one without an area suppresses nothing.
    flipped = np.array([[[2, 2, 0, 0], [0, 0, 2, 2], [1, 1, 1, 1], [1, 1, 1, 1]]], np.float32)
    assert kept(nms(flipped, scores, same, 0.0, 0.0, 4)) == [0, 2, 3]


def test_not_finite_is_never_kept(each_implementation):
    boxes = np.tile(np.array([0, 0, 10, 10], np.float32), [1, 8, 1])
    boxes[0, :, 0::2] += np.arange(8)[:, None] * 20
    for i, value in enumerate([np.nan, np.inf, -np.inf]):
        boxes[0, i, i] = value
    boxes[0, 3] = [-3e38, -3e38, 3e38, 3e38]
    scores = np.array([[0.9, 0.9, 0.9, 0.9, np.nan, np.inf, -np.inf, 0.1]], np.float32)
    classes = np.zeros([1, 8], np.int32)
    assert kept(nms(boxes, scores, classes, 0.5, LOWEST, 8)) == [7]
    assert kept(nms(boxes, scores[:, ::-1], classes, 0.5, LOWEST, 8)) == [4, 5, 6, 7]


@pytest.mark.parametrize("classes", [1, 3])
def test_equals_the_slow_reference(each_implementation, rng, classes):
    boxes, scores, labels = crowd(rng, 3, 80, classes)
    for iou_threshold, score_threshold, max_output in [(0.5, 0.1, 100), (0.3, LOWEST, 10)]:
        result = nms(boxes, scores, labels, iou_threshold, score_threshold, max_output)
        assert result[0].shape == [3, max_output]
        for image in range(3):
            expected = reference.nms(
                boxes[image],
                scores[image],
                labels[image],
                iou_threshold,
                score_threshold,
                max_output,
            )
            assert kept(result, image) == expected


def test_only_the_best_take_part(each_implementation, rng):
    boxes, scores, classes = crowd(rng, 2, 60, 3)
    scores[0, ::7], boxes[1, ::9, 0] = np.nan, np.inf
    for pre_nms_top_n in (1, 20, 60, 100):
        result = nms(boxes, scores, classes, 0.4, 0.3, 50, pre_nms_top_n)
        for image in range(2):
            arguments = (boxes[image], scores[image], classes[image], 0.4, 0.3, 50, pre_nms_top_n)
            assert kept(result, image) == reference.nms(*arguments)
    none = nms(boxes[:, :0], scores[:, :0], classes[:, :0], 0.4, 0.3, 5, 10)
    assert not none[0].numpy().any() and none[1].numpy().tolist() == [0, 0]


def test_equals_detectron2(each_implementation):
    boxes, scores = GOLDEN["nms.boxes"][None], GOLDEN["nms.scores"][None]
    classes = GOLDEN["nms.classes"][None]
    for percent in (30, 50, 70):
        result = nms(boxes, scores, classes, percent / 100, 0.0, 60)
        assert kept(result) == GOLDEN[f"nms.keep_{percent}"].tolist()


def test_compiled_equals_plain_at_full_size(compiled_ops, rng):
    # Enough candidates that the compiled op sorts them in several stretches.
    boxes, scores, classes = crowd(rng, 2, 12000, 1, extent=1200)
    # One class is exact; so are boxes on whole pixels, which classes may move without rounding.
    whole, labels = np.round(boxes), rng.integers(-3, 80, scores.shape).astype(np.int32)
    for arguments in [
        (boxes, scores, classes, 0.7, LOWEST, 2000),
        (boxes, scores, classes, 0.05, LOWEST, 3000),
        (whole, scores, labels, 0.5, 0.05, 300),
    ]:
        results = []
        for name in ("plain", "compiled"):
            with implementation(name):
                results.append(nms(*arguments))
        np.testing.assert_array_equal(results[0][1], results[1][1])
        np.testing.assert_array_equal(results[0][0], results[1][0])


def test_empty_and_unknown_shapes(each_implementation, rng):
    signature = [
        tf.TensorSpec([None, None, 4]),
        tf.TensorSpec([None, None]),
        tf.TensorSpec([None, None], tf.int32),
    ]

    @tf.function(input_signature=signature)
    def suppress(boxes, scores, classes):
        indices, count = nms(boxes, scores, classes, 0.5, 0.05, 7)
        assert indices.shape.as_list() == [None, 7]
        return indices, count

    boxes, scores, classes = crowd(rng, 2, 30, 2)
    for in_graph, expected in zip(
        suppress(boxes, scores, classes), nms(boxes, scores, classes, 0.5, 0.05, 7), strict=True
    ):
        np.testing.assert_array_equal(in_graph, expected)
    for batch, count in [(2, 0), (0, 5), (0, 0)]:
        arguments = (boxes[:batch, :count], scores[:batch, :count], classes[:batch, :count])
        for indices, counts in (nms(*arguments, 0.5, 0.05, 7), suppress(*arguments)):
            assert indices.shape == [batch, 7] and counts.shape == [batch]
            assert not indices.numpy().any() and not counts.numpy().any()


def test_wrong_arguments_are_named(compiled_ops):
    boxes, scores, classes = tf.zeros([1, 3, 4]), tf.zeros([1, 3]), tf.zeros([1, 3], tf.int32)
    with pytest.raises(ValueError, match="iou_threshold must be in 0..1, got 50"):
        nms(boxes, scores, classes, 50, 0.05, 5)
    with pytest.raises(ValueError, match="max_output must be positive"):
        nms(boxes, scores, classes, 0.5, 0.05, 0)
    with pytest.raises(ValueError, match="pre_nms_top_n must be 0, for all boxes, or more, got -1"):
        nms(boxes, scores, classes, 0.5, 0.05, 5, pre_nms_top_n=-1)
    with pytest.raises(ValueError, match="scores must have 2 dimensions"):
        nms(boxes, scores[0], classes, 0.5, 0.05, 5)
    call = {"iou_threshold": 0.5, "score_threshold": 0.0, "max_output": 5}
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"scores must be \[1,3\].*\[1,2\]"):
        load().mrcnn_nms(boxes=boxes, scores=scores[:, :2], classes=classes, **call)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"classes must be \[1,3\].*\[2,3\]"):
        load().mrcnn_nms(boxes=boxes, scores=scores, classes=tf.zeros([2, 3], tf.int32), **call)
    call |= {"boxes": boxes, "scores": scores, "classes": classes}
    with pytest.raises(tf.errors.InvalidArgumentError, match="score_threshold must be at least 0"):
        load().mrcnn_nms(**call | {"mode": "linear", "score_threshold": -1.0})
    with pytest.raises(tf.errors.InvalidArgumentError, match="sigma must be above 0, got 0"):
        load().mrcnn_nms(**call, mode="gaussian", sigma=0.0)
