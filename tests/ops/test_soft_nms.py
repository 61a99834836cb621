"""Soft-NMS: cases by hand, a slow reference, hostile input, compiled against plain."""

import numpy as np
import pytest
import tensorflow as tf

from mrcnn_tf.ops import implementation, soft_nms
from tests.ops import reference
from tests.ops.test_nms import crowd

METHODS = ["linear", "gaussian"]


def kept(result, image=0) -> tuple[list[int], np.ndarray]:
    """Indices and scores of one image without their padding, which must be 0."""
    indices, scores, count = (values.numpy() for values in result)
    assert not indices[image, count[image] :].any() and not scores[image, count[image] :].any()
    return indices[image, : count[image]].tolist(), scores[image, : count[image]]


def test_linear_by_hand(each_implementation):
    # IoU with box 0 is 0.5, 0 and 0.75, of box 1 with box 3 it is 2 / 3.
    boxes = np.array([[[0, 0, 2, 2], [0, 0, 2, 1], [5, 5, 6, 6], [0, 0, 2, 1.5]]], np.float32)
    scores = np.array([[0.9, 0.8, 0.7, 0.6]], np.float32)
    same, apart = np.zeros([1, 4], np.int32), np.array([[0, 1, 2, 3]], np.int32)

    def run(classes, iou_threshold, score_threshold=0.0, max_output=6):
        options = {"iou_threshold": iou_threshold, "score_threshold": score_threshold}
        return kept(soft_nms(boxes, scores, classes, "linear", max_output=max_output, **options))

    indices, lowered = run(same, 0.5)  # a threshold met is not exceeded
    assert indices == [0, 1, 2, 3]
    np.testing.assert_allclose(lowered, [0.9, 0.8, 0.7, 0.6 / 4 / 3], rtol=1e-6)
    indices, lowered = run(same, 0.4)
    assert indices == [0, 2, 1, 3]
    np.testing.assert_allclose(lowered, [0.9, 0.7, 0.4, 0.6 / 4 / 3], rtol=1e-6)
    assert run(same, 0.4, score_threshold=0.3)[0] == [0, 2, 1]
    assert run(same, 0.4, max_output=2)[0] == [0, 2]
    indices, lowered = run(apart, 0.0)
    assert indices == [0, 1, 2, 3] and lowered.tolist() == scores[0].tolist()
    # The same box again has IoU 1 and nothing left; a score at the threshold is not above it.
    boxes[0, 1], boxes[0, 2] = boxes[0, 0], boxes[0, 0] + 4
    assert run(same, 0.5)[0] == [0, 2, 3]
    assert run(apart, 0.5, score_threshold=np.float32(0.7))[0] == [0, 1]


def test_gaussian_by_hand(each_implementation):
    boxes = np.array([[[0, 0, 2, 2], [2, 1, 0, 0], [5, 5, 6, 6], [3, 3, 3, 3]]], np.float32)
    scores = np.array([[0.9, 0.8, 0.7, 0.7]], np.float32)
    classes = np.zeros([1, 4], np.int32)
    # exp(-0.5^2 / 0.5) for the second box, whose corners are the wrong way round; none for the
    # third, nor for the last, which has no area. Equal scores go by index.
    indices, lowered = kept(soft_nms(boxes, scores, classes, sigma=0.5))
    assert indices == [0, 2, 3, 1]
    np.testing.assert_allclose(lowered, [0.9, 0.7, 0.7, 0.8 * np.exp(-0.5)], rtol=1e-6)
    indices, lowered = kept(soft_nms(boxes, scores, classes, sigma=0.05))
    np.testing.assert_allclose(lowered[-1], 0.8 * np.exp(-5), rtol=1e-5)
    assert kept(soft_nms(boxes, scores, classes, sigma=0.02))[0] == [0, 2, 3]


@pytest.mark.parametrize("method", METHODS)
def test_equals_the_slow_reference(each_implementation, rng, method):
    boxes, scores, classes = crowd(rng, 3, 60, 2)
    # Ties between decayed scores are left to the linear method, which all compute alike.
    if method == "gaussian":
        scores = rng.random(scores.shape).astype(np.float32)
    scores[0, ::7], boxes[1, ::9, 0], boxes[2, ::5] = np.nan, np.inf, 3e38
    for options in [(0.5, 0.3, 0.001, 60, 0), (0.2, 0.0, 0.2, 100, 40), (1.0, 0.6, 0.0, 10, 0)]:
        result = soft_nms(boxes, scores, classes, method, *options)
        assert result[0].shape == result[1].shape == [3, options[3]]
        for image in range(3):
            expected = reference.soft_nms(
                boxes[image], scores[image], classes[image], method, *options
            )
            indices, lowered = kept(result, image)
            assert indices == [index for index, _ in expected] and len(indices) > 5
            np.testing.assert_allclose(lowered, [score for _, score in expected], rtol=1e-5)


def test_equals_tensorflow(each_implementation, rng):
    boxes, scores, classes = crowd(rng, 1, 200, 1)
    scores = rng.random(scores.shape).astype(np.float32)
    expected = tf.image.non_max_suppression_with_scores(
        boxes[0], scores[0], 50, iou_threshold=1.0, score_threshold=0.05, soft_nms_sigma=0.2
    )
    result = soft_nms(boxes, scores, classes, sigma=0.4, score_threshold=0.05, max_output=50)
    indices, lowered = kept(result)
    assert indices == expected[0].numpy().tolist()
    np.testing.assert_allclose(lowered, expected[1], rtol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_compiled_equals_plain_at_full_size(compiled_ops, rng, method):
    boxes, scores, classes = crowd(rng, 2, 4000, 20, extent=600)
    scores = rng.random(scores.shape).astype(np.float32)
    results = []
    for name in ("plain", "compiled"):
        with implementation(name):
            results.append(soft_nms(boxes, scores, classes, method, 0.5, 0.3, 0.05, 200, 3000))
    for plain, compiled in zip(*results, strict=True):
        np.testing.assert_allclose(plain, compiled, rtol=1e-5)
    assert (results[0][2].numpy() == 200).all()


def test_empty_and_unknown_shapes(each_implementation, rng):
    signature = [
        tf.TensorSpec([None, None, 4]),
        tf.TensorSpec([None, None]),
        tf.TensorSpec([None, None], tf.int32),
    ]
    boxes, scores, classes = crowd(rng, 2, 30, 2)
    for pre_nms_top_n in (0, 12):
        options = {"method": "linear", "max_output": 7, "pre_nms_top_n": pre_nms_top_n}

        @tf.function(input_signature=signature)
        def suppress(boxes, scores, classes, options=options):
            result = soft_nms(boxes, scores, classes, **options)
            assert result[0].shape.as_list() == result[1].shape.as_list() == [None, 7]
            return result

        for in_graph, expected in zip(
            suppress(boxes, scores, classes),
            soft_nms(boxes, scores, classes, **options),
            strict=True,
        ):
            np.testing.assert_array_equal(in_graph, expected)
        for batch, count in [(2, 0), (0, 5), (0, 0)]:
            arguments = (boxes[:batch, :count], scores[:batch, :count], classes[:batch, :count])
            for result in (soft_nms(*arguments, **options), suppress(*arguments)):
                assert [part.shape for part in result] == [[batch, 7], [batch, 7], [batch]]
                assert not any(part.numpy().any() for part in result)


def test_wrong_arguments_are_named():
    boxes, scores, classes = tf.zeros([1, 3, 4]), tf.zeros([1, 3]), tf.zeros([1, 3], tf.int32)
    for message, options in {
        "method must be one of .*, got 'hard'": {"method": "hard"},
        "sigma must be above 0, got 0": {"sigma": 0},
        "score_threshold must be at least 0, .* got -inf": {"score_threshold": -np.inf},
        "iou_threshold must be in 0..1, got 50": {"iou_threshold": 50},
        "max_output must be positive, got 0": {"max_output": 0},
        "pre_nms_top_n must be 0, .* got -1": {"pre_nms_top_n": -1},
    }.items():
        with pytest.raises(ValueError, match=message):
            soft_nms(boxes, scores, classes, **options)
