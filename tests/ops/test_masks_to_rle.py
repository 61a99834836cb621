"""Run lengths of masks: pycocotools' text, the pixels of paste_masks, hostile input."""

import numpy as np
import pytest
from pycocotools import mask as mask_utils

from mrcnn_tf.ops import masks_to_rle, paste_masks


def test_equals_encoding_the_pasted_image(each_implementation, rng):
    # Smooth masks and noise; boxes inside, across the border, around the image and outside.
    noise = rng.random([300, 7, 7]).astype(np.float32)
    masks = np.where(
        np.arange(300)[:, None, None] % 2 == 0, noise, noise.mean((1, 2))[:, None, None]
    )
    masks[::3] += 0.3
    corners = rng.uniform(-60, 90, [300, 2])
    boxes = np.concatenate([corners, corners + np.exp(rng.uniform(-2, 5.5, [300, 2]))], -1)
    boxes[:4] = [[0, 0, 70, 50], [-9, -9, 200, 200], [0, 0, 70, 20], [10, 0, 20, 50]]
    boxes = boxes.astype(np.float32)
    for whole_pixels in (False, True):
        encoded = masks_to_rle(masks, boxes, 50, 70, whole_pixels=whole_pixels)
        pasted = paste_masks(masks, boxes, 50, 70, whole_pixels=whole_pixels).numpy()
        assert len(encoded) == 300 and pasted.any()
        for rle, image in zip(encoded, pasted, strict=True):
            assert rle["size"] == [50, 70]
            assert rle["counts"] == mask_utils.encode(np.asfortranarray(image))["counts"].decode()


def test_nothing_to_encode(each_implementation):
    assert masks_to_rle(np.ones([0, 28, 28]), np.zeros([0, 4]), 20, 30) == []
    boxes = np.array([[np.nan, 0, 9, 9], [0, 0, np.inf, 9], [5, 5, 5, 9], [-3e38, 0, 3e38, 9]])
    for rle in masks_to_rle(np.ones([4, 28, 28]), boxes, 20, 30):
        assert mask_utils.area(rle) == 0
    # In whole pixels a box without width still covers one column, here of the rows 4 to 9: a cell
    # wider, it goes from y = 4.86 to 9.14.
    areas = [
        mask_utils.area(rle)
        for rle in masks_to_rle(np.ones([4, 28, 28]), boxes, 20, 30, whole_pixels=True)
    ]
    assert areas == [0, 0, 6, 0]


def test_wrong_arguments_are_named(each_implementation):
    with pytest.raises(ValueError, match=r"masks must have 3 dimensions, got shape \(28, 28\)"):
        masks_to_rle(np.ones([28, 28]), np.zeros([1, 4]), 20, 30)
    with pytest.raises(ValueError, match=r"boxes must be \(2, 4\)"):
        masks_to_rle(np.ones([2, 28, 28]), np.zeros([1, 4]), 20, 30)
    with pytest.raises(ValueError, match="threshold must be above 0 and at most 1, got 0"):
        masks_to_rle(np.ones([1, 28, 28]), np.zeros([1, 4]), 20, 30, threshold=0)
