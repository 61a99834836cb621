"""Proposals: cases by hand, a slow reference, hostile input, compiled against plain."""

import numpy as np
import pytest
import tensorflow as tf

from mrcnn_tf.ops import implementation, load, proposals
from tests.ops import reference

SIZE = 1e-3


def rpn_outputs(rng, levels, batch, extent=200):
    """Anchors on coarse grids, small deltas, and logits in steps so that many of them tie."""
    logits, deltas, anchors = [], [], []
    for level, count in enumerate(levels):
        corners = rng.uniform(-20, extent, [count, 2])
        sides = rng.uniform(10, 30, [count, 2]) * 2**level
        anchors.append(np.concatenate([corners, corners + sides], -1).astype(np.float32))
        logits.append((rng.integers(-40, 40, [batch, count]) / 8).astype(np.float32))
        deltas.append(rng.normal(0, 0.3, [batch, count, 4]).astype(np.float32))
    return logits, deltas, anchors, np.array([[extent, extent - 50], [90, 120]][:batch], np.float32)


def make_hostile(rng, logits, deltas):
    for values in (*logits, *deltas):
        flat = values.reshape(-1)
        chosen = rng.integers(0, flat.size, max(1, flat.size // 10))
        flat[chosen] = rng.choice([np.nan, np.inf, -np.inf, 3e38, -3e38, 1e6, 0], len(chosen))


def test_cases_by_hand(each_implementation):
    anchors = np.array(
        [[0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 40, 40], [50, 0, 60, 5]], np.float32
    )
    logits = np.array([[2, 1, 0.5, 9]], np.float32)
    other = np.array([[0, 0, 10, 10]], np.float32)
    boxes, kept, count = proposals(
        [logits, np.array([[1.5]], np.float32)],
        [np.zeros([1, 4, 4], np.float32), np.zeros([1, 1, 4], np.float32)],
        [anchors, other],
        [[30, 30]],
        pre_nms_top_n=10,
        post_nms_top_n=4,
        nms_threshold=0.7,
    )
    # The second anchor is a double of the first, the fourth lies outside the image; the same box
    # on another level stays; the third is clipped.
    assert count.numpy().tolist() == [3]
    assert kept.numpy().tolist() == [[2, 1.5, 0.5, -np.inf]]
    expected = [[0, 0, 10, 10], [0, 0, 10, 10], [20, 20, 30, 30], [0, 0, 0, 0]]
    np.testing.assert_allclose(boxes[0], expected, atol=1e-5)


@pytest.mark.parametrize("hostile", [False, True])
def test_equals_the_slow_reference(each_implementation, rng, hostile):
    for levels, pre, post in [((60, 30, 7), 20, 25), ((50,), 100, 10), ((5, 1), 1, 9)]:
        logits, deltas, anchors, sizes = rpn_outputs(rng, levels, 2)
        if hostile:
            make_hostile(rng, logits, deltas)
        boxes, kept, count = proposals(logits, deltas, anchors, sizes, pre, post, 0.6)
        assert boxes.shape == [2, post, 4]
        for image in range(2):
            expected = reference.proposals(
                [level[image] for level in logits],
                [level[image] for level in deltas],
                anchors,
                sizes[image],
                *(pre, post, 0.6, SIZE),
            )
            real = len(expected)
            assert count[image] == real
            assert kept[image, :real].numpy().tolist() == [row[0] for row in expected]
            for box, row in zip(boxes[image].numpy(), expected, strict=False):
                np.testing.assert_allclose(box, row[3], atol=1e-3)
            assert not boxes[image, real:].numpy().any()
            assert (kept[image, real:].numpy() == -np.inf).all()


def test_compiled_equals_plain_at_full_size(compiled_ops, rng):
    outputs = rpn_outputs(rng, (60000, 15000, 4000, 1000, 200), 2, extent=1200)
    results = []
    for name in ("plain", "compiled"):
        with implementation(name):
            results.append(proposals(*outputs, 2000, 1000, 0.7))
    plain, compiled = results
    # The exponentials of the two may differ in the last bit, so boxes do; no IoU of these inputs
    # lies that close to the threshold.
    np.testing.assert_array_equal(plain[2], compiled[2])
    np.testing.assert_array_equal(plain[1], compiled[1])
    np.testing.assert_allclose(plain[0], compiled[0], atol=1e-3)


def test_empty_and_unknown_shapes(each_implementation, rng):
    logits, deltas, anchors, sizes = rpn_outputs(rng, (30, 10), 2)

    @tf.function(
        input_signature=[
            [tf.TensorSpec([None, None])] * 2,
            [tf.TensorSpec([None, None, 4])] * 2,
            [tf.TensorSpec([None, 4])] * 2,
            tf.TensorSpec([None, 2]),
        ]
    )
    def propose(logits, deltas, anchors, sizes):
        return proposals(logits, deltas, anchors, sizes, 20, 8, 0.7)

    together = propose(logits, deltas, anchors, sizes)
    for in_graph, eager in zip(
        together, proposals(logits, deltas, anchors, sizes, 20, 8, 0.7), strict=True
    ):
        np.testing.assert_array_equal(in_graph, eager)
    none = propose(
        [level[:, :0] for level in logits],
        [level[:, :0] for level in deltas],
        [level[:0] for level in anchors],
        sizes,
    )
    assert none[0].shape == [2, 8, 4] and not none[0].numpy().any()
    assert none[2].numpy().tolist() == [0, 0]


def test_wrong_arguments_are_named(compiled_ops, rng):
    logits, deltas, anchors, sizes = rpn_outputs(rng, (6, 3), 2)
    with pytest.raises(ValueError, match="for each level, got 1, 2 and 2"):
        proposals(logits[:1], deltas, anchors, sizes, 5, 5, 0.7)
    with pytest.raises(ValueError, match="nms_threshold must be in 0..1, got 70"):
        proposals(logits, deltas, anchors, sizes, 5, 5, 70)
    with pytest.raises(ValueError, match="must be positive, got 0 and 5"):
        proposals(logits, deltas, anchors, sizes, 0, 5, 0.7)
    call = {"pre_nms_top_n": 5, "post_nms_top_n": 5, "nms_threshold": 0.7, "min_size": SIZE}
    op = load().mrcnn_proposals
    wrong = [deltas[0], deltas[1][:, :2]]
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"deltas\[1\] must be \[2,3,4\]"):
        op(logits=logits, deltas=wrong, anchors=anchors, image_sizes=sizes, **call)
    wrong = [anchors[0][:4], anchors[1]]
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"anchors\[0\] must be \[6,4\]"):
        op(logits=logits, deltas=deltas, anchors=wrong, image_sizes=sizes, **call)
