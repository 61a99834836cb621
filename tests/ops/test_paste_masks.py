"""Pasting of masks: cases by hand, Detectron2's pixels, boxes that are no boxes."""

import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from mrcnn_tf.ops import implementation, load, paste_masks
from tests.ops.reference import GOLDEN as GOLDEN_NAME

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / GOLDEN_NAME)


TORCHVISION = np.load(Path(__file__).parents[1] / "golden" / "paste_masks.npz")


def some_masks(rng, count):
    masks = rng.random([count, 14, 14]).astype(np.float32)
    corners = rng.uniform(-10, 40, [count, 2])
    boxes = np.concatenate([corners, corners + rng.uniform(1, 40, [count, 2])], -1)
    return masks, boxes.astype(np.float32)


def test_a_full_mask_fills_its_box(each_implementation):
    boxes = tf.constant([[10.0, 20.0, 30.0, 26.0], [-5.0, -5.0, 5.0, 5.0]])
    pasted = paste_masks(tf.ones([2, 28, 28]), boxes, 40, 60)
    assert pasted.shape == [2, 40, 60] and pasted.dtype == tf.uint8
    expected = np.zeros([2, 40, 60], np.uint8)
    expected[0, 20:26, 10:30] = 1
    expected[1, :5, :5] = 1
    np.testing.assert_array_equal(pasted, expected)


def test_half_a_mask_ends_in_the_middle(each_implementation):
    # Columns 0..1 of 4 are set; the box is 8 px wide, so the edge lies 4 px into it.
    mask = tf.constant([[[1.0, 1.0, 0.0, 0.0]] * 4])
    pasted = paste_masks(mask, tf.constant([[2.0, 0.0, 10.0, 8.0]]), 8, 12).numpy()[0]
    np.testing.assert_array_equal(np.flatnonzero(pasted[4]), [2, 3, 4, 5])


def test_equals_detectron2(each_implementation):
    probabilities, boxes = GOLDEN["paste.probs"], GOLDEN["paste.boxes"]
    expected = np.unpackbits(GOLDEN["paste.bits_packed"], axis=1).reshape(-1, 60, 80)
    pasted = paste_masks(probabilities, boxes, 60, 80).numpy()
    assert expected.any(axis=(1, 2)).all()
    # A probability within rounding of the threshold may fall to either side.
    soft = GOLDEN["paste.soft_u8"]
    assert not ((pasted != expected) & (np.abs(soft - 127.5) > 1)).any()
    assert (pasted != expected).sum() <= 3


def test_boxes_that_are_no_boxes_give_empty_masks(each_implementation):
    boxes = np.array(
        [
            [np.nan, 0, 10, 10],
            [0, 0, np.inf, 10],
            [5, 5, 5, 10],
            [10, 10, 5, 20],
            [-3e38, 0, 3e38, 10],
            [500, 500, 600, 600],
        ],
        np.float32,
    )
    assert not paste_masks(tf.ones([6, 28, 28]), boxes, 20, 30).numpy().any()
    assert paste_masks(tf.ones([0, 28, 28]), tf.zeros([0, 4]), 20, 30).shape == [0, 20, 30]


def test_graph_with_unknown_shapes_equals_eager_chunks(each_implementation, rng, monkeypatch):
    masks, boxes = some_masks(rng, 7)

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None, None]),
            tf.TensorSpec([None, 4]),
            tf.TensorSpec([], tf.int32),
            tf.TensorSpec([], tf.int32),
        ]
    )
    def paste(masks, boxes, height, width):
        return paste_masks(masks, boxes, height, width)

    expected = paste(masks, boxes, 50, 64).numpy()
    assert expected.any()
    # Room for two masks at a time, so that seven come in four chunks.
    monkeypatch.setattr(sys.modules["mrcnn_tf.ops.paste_masks"], "_CHUNK_PIXELS", 2 * 50 * 64)
    np.testing.assert_array_equal(paste_masks(masks, boxes, 50, 64), expected)


def test_compiled_equals_plain(compiled_ops, rng):
    masks, boxes = some_masks(rng, 200)
    results = []
    for name in ("plain", "compiled"):
        with implementation(name):
            results.append(paste_masks(masks, boxes, 70, 64).numpy())
    # Sums are taken in another order: a probability that rounds to the threshold may go either way.
    assert results[0].any() and (results[0] != results[1]).mean() < 1e-5


def test_wrong_arguments_are_named(compiled_ops):
    with pytest.raises(ValueError, match="threshold must be above 0"):
        paste_masks(tf.ones([1, 28, 28]), tf.zeros([1, 4]), 10, 10, threshold=0.0)
    with pytest.raises(ValueError, match="masks must have 3 dimensions"):
        paste_masks(tf.ones([1, 28, 28, 1]), tf.zeros([1, 4]), 10, 10)
    call = {"masks": tf.ones([2, 28, 28]), "height": 10, "width": 10, "threshold": 0.5}
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"boxes must be \[2,4\]"):
        load().mrcnn_paste_masks(boxes=tf.zeros([3, 4]), **call)


def test_whole_pixels_equal_torchvision(each_implementation):
    masks, boxes = TORCHVISION["masks"].astype(np.float32), TORCHVISION["boxes"]
    expected = np.unpackbits(TORCHVISION["pixels_packed"], axis=1).reshape(-1, 60, 80)
    pasted = paste_masks(masks, boxes, 60, 80, whole_pixels=True).numpy()
    assert (expected.sum((1, 2)) > 0).sum() >= 12
    np.testing.assert_array_equal(pasted, expected)
    assert (paste_masks(masks, boxes, 60, 80).numpy() != expected).any()
