"""Matching: cases by hand, a slow reference, torchvision's rules, hostile input."""

import numpy as np
import pytest
import tensorflow as tf

from mrcnn_tf.ops import implementation, load, match_boxes
from tests.ops import reference


def scene(rng, anchors, boxes, batch=2, extent=100):
    """Anchors on a coarse grid, so that IoUs tie, and boxes of which some are not valid."""
    corners = rng.integers(0, extent // 5, [anchors, 2]) * 5.0
    anchors = np.concatenate([corners, corners + rng.choice([10, 20, 40], [len(corners), 1])], -1)
    corners = rng.integers(0, extent // 5, [batch, boxes, 2]) * 5.0
    sizes = rng.choice([10, 15, 30], [batch, boxes, 2])
    truth = np.concatenate([corners, corners + sizes], -1)
    return anchors.astype(np.float32), truth.astype(np.float32), rng.random([batch, boxes]) < 0.7


def test_cases_by_hand(each_implementation):
    anchors = np.array(
        [[0, 0, 10, 10], [0, 0, 10, 20], [0, 0, 10, 30], [50, 50, 60, 60], [80, 80, 90, 90]],
        np.float32,
    )
    boxes = np.array([[[0, 0, 10, 10], [48, 50, 90, 60], [0, 0, 5, 5]]], np.float32)
    valid = np.array([[True, True, False]])
    # IoU with box 0 is 1, 0.5 and 1/3; both thresholds count as reached when met. The anchor
    # at 50 overlaps box 1 by 100 / 420 only.
    matches = match_boxes(anchors, boxes, valid, 1.0, 0.5, allow_low_quality=False)
    assert matches.numpy().tolist() == [[0, -2, -1, -1, -1]]
    matches = match_boxes(anchors, boxes, valid, 0.5, 0.4, allow_low_quality=True)
    assert matches.numpy().tolist() == [[0, 0, -1, 1, -1]]

    # Low quality: the anchor that box 1 overlaps most is given back its own nearest, box 0; all
    # anchors that tie for a box are promoted; a box that overlaps nothing promotes none.
    boxes = np.array([[[0, 0, 10, 20], [0, 0, 30, 6], [200, 200, 210, 210]]], np.float32)
    anchors = np.array([[0, 0, 10, 10], [0, 10, 10, 20], [70, 70, 80, 80]], np.float32)
    valid = np.ones([1, 3], bool)
    matches = match_boxes(anchors, boxes, valid, 0.7, 0.3, allow_low_quality=True)
    assert matches.numpy().tolist() == [[0, 0, -1]]
    matches = match_boxes(anchors, boxes, valid, 0.7, 0.3, allow_low_quality=False)
    assert matches.numpy().tolist() == [[-2, -2, -1]]


@pytest.mark.parametrize("allow_low_quality", [True, False])
def test_equals_the_slow_reference(each_implementation, rng, allow_low_quality):
    # 300 anchors fill one block of the compiled kernel and part of another.
    anchors, boxes, valid = scene(rng, 300, 6)
    boxes[0, 1] = np.nan
    anchors[7] = [0, 0, np.inf, 10]
    matches = match_boxes(anchors, boxes, valid, 0.5, 0.2, allow_low_quality)
    for image in range(2):
        expected = reference.match_boxes(
            anchors, boxes[image], valid[image], 0.5, 0.2, allow_low_quality
        )
        assert matches[image].numpy().tolist() == expected
    assert len(np.unique(matches)) > 4


def test_anchors_of_each_image(each_implementation, rng):
    anchors, boxes, valid = scene(rng, 50, 4)
    own = np.stack([anchors, anchors[::-1]])
    together = match_boxes(own, boxes, valid, 0.5, 0.2, True)
    for image in range(2):
        alone = match_boxes(
            own[image], boxes[image : image + 1], valid[image : image + 1], 0.5, 0.2, True
        )
        np.testing.assert_array_equal(together[image], alone[0])


def test_nothing_to_match(each_implementation, rng):
    anchors, boxes, valid = scene(rng, 20, 4)
    for low_quality in (True, False):
        for case in (
            (anchors, boxes, np.zeros_like(valid)),
            (anchors, boxes[:, :0], valid[:, :0]),
            (anchors, np.full_like(boxes, np.nan), valid),
        ):
            matches = match_boxes(*case, 0.5, 0.0, low_quality).numpy()
            assert matches.shape == (2, 20) and (matches == -1).all()
        assert match_boxes(anchors[:0], boxes, valid, 0.5, 0.2, low_quality).shape == [2, 0]
        assert match_boxes(anchors, boxes[:0], valid[:0], 0.5, 0.2, low_quality).shape == [0, 20]


def test_compiled_equals_plain(compiled_ops, rng):
    anchors, boxes, valid = scene(rng, 5000, 40, extent=800)
    jitter = rng.normal(size=anchors.shape).astype(np.float32)
    hostile = np.array(
        [[0, 0, 0, 0], [30, 30, 10, 10], [0, 0, 1e9, 1e9], [-1e30, -1e30, 1e30, 1e30]], np.float32
    )
    anchors = np.concatenate([anchors, anchors + jitter, hostile])
    boxes = np.concatenate([boxes, np.stack([hostile, hostile])], axis=1)
    valid = np.concatenate([valid, np.ones([2, 4], bool)], axis=1)
    for arguments in [(0.7, 0.3, True), (0.5, 0.5, False), (0.5, 0.0, True)]:
        results = []
        for name in ("plain", "compiled"):
            with implementation(name):
                results.append(match_boxes(anchors, boxes, valid, *arguments).numpy())
        np.testing.assert_array_equal(results[0], results[1])


def test_unknown_shapes(each_implementation, rng):
    anchors, boxes, valid = scene(rng, 40, 5)

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, 4]),
            tf.TensorSpec([None, None, 4]),
            tf.TensorSpec([None, None], tf.bool),
        ]
    )
    def match(anchors, boxes, valid):
        matches = match_boxes(anchors, boxes, valid, 0.5, 0.2, True)
        assert matches.shape.rank == 2
        return matches

    expected = match_boxes(anchors, boxes, valid, 0.5, 0.2, True)
    np.testing.assert_array_equal(match(anchors, boxes, valid), expected)


def test_wrong_arguments_are_named(compiled_ops):
    anchors, boxes, valid = tf.zeros([5, 4]), tf.zeros([1, 3, 4]), tf.ones([1, 3], tf.bool)
    with pytest.raises(ValueError, match="low_threshold must not be above high_threshold"):
        match_boxes(anchors, boxes, valid, 0.3, 0.7, True)
    with pytest.raises(ValueError, match="anchors must end in a dimension of 4"):
        match_boxes(anchors[:, :3], boxes, valid, 0.7, 0.3, True)
    call = {"high_threshold": 0.7, "low_threshold": 0.3, "allow_low_quality": True}
    op = load().mrcnn_match_boxes
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"valid must be \[1,3\].*\[1,2\]"):
        op(anchors=anchors, boxes=boxes, valid=valid[:, :2], **call)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"anchors must be .*got \[2,5,4\]"):
        op(anchors=tf.zeros([2, 5, 4]), boxes=boxes, valid=valid, **call)
