import numpy as np
import pytest

from mrcnn_tf.data.sample import Sample
from mrcnn_tf.data.transforms import (
    crop,
    flip_horizontal,
    flip_vertical,
    resample_masks,
    rescale,
    transpose,
)
from tests.data.coco_folder import blob, box_of


def sample_of(masks, image=None, without_mask=()):
    height, width = masks[0].shape
    boxes, crops, mask_boxes = [], [], []
    for i, mask in enumerate(masks):
        x, y, w, h = (int(v) for v in box_of(mask))
        boxes.append((x, y, x + w, y + h))
        crops.append(None if i in without_mask else mask[y : y + h, x : x + w])
        mask_boxes.append((0, 0, 0, 0) if i in without_mask else boxes[-1])
    return Sample(
        image=np.zeros((height, width, 3), np.uint8) if image is None else image,
        image_id=1,
        boxes=np.array(boxes, np.float32),
        classes=np.arange(len(masks), dtype=np.int32),
        is_crowd=np.zeros(len(masks), bool),
        crops=crops,
        mask_boxes=np.array(mask_boxes, np.float32),
    )


def painted(sample, i):
    """The mask of object i, each pixel centre of the image looked up in the crop."""
    height, width = sample.image.shape[:2]
    x1, y1, x2, y2 = sample.mask_boxes[i].astype(np.float64)
    h, w = sample.crops[i].shape
    rows = np.floor((np.arange(height) + 0.5 - y1) / (y2 - y1) * h).astype(int)
    columns = np.floor((np.arange(width) + 0.5 - x1) / (x2 - x1) * w).astype(int)
    inside = ((rows >= 0) & (rows < h))[:, None] & ((columns >= 0) & (columns < w))
    return sample.crops[i][rows.clip(0, h - 1)][:, columns.clip(0, w - 1)] & inside


MOVES = {
    "flip": (flip_horizontal, lambda a: a[:, ::-1]),
    "vertical": (flip_vertical, lambda a: a[::-1]),
    "transpose": (transpose, lambda a: a.swapaxes(0, 1)),
}


@pytest.mark.parametrize("name", MOVES)
def test_flips_move_image_masks_and_boxes_alike(name):
    move, expected = MOVES[name]
    masks = [blob(30, 47, seed) for seed in range(8)]
    image = np.stack(masks[:3], axis=-1).astype(np.uint8)
    moved = move(sample_of(masks, image, without_mask=(7,)))
    np.testing.assert_array_equal(moved.image, expected(image))
    for i in range(7):
        np.testing.assert_array_equal(painted(moved, i), expected(masks[i]))
        x, y, w, h = box_of(expected(masks[i]))
        np.testing.assert_array_equal(moved.boxes[i], [x, y, x + w, y + h])
    assert moved.crops[7] is None
    np.testing.assert_array_equal(moved.mask_boxes[7], 0)
    back = move(moved)
    np.testing.assert_array_equal(back.boxes, sample_of(masks).boxes)
    np.testing.assert_array_equal(back.mask_boxes[:7], sample_of(masks).mask_boxes[:7])


def test_rescale_moves_regions_and_leaves_crops():
    masks = [blob(30, 47, seed) for seed in range(4)]
    before = sample_of(masks)
    after = rescale(before, np.zeros((60, 94, 3), np.uint8))
    np.testing.assert_array_equal(after.boxes, before.boxes * 2)
    for i, mask in enumerate(masks):
        assert after.crops[i] is before.crops[i]
        np.testing.assert_array_equal(painted(after, i), mask.repeat(2, 0).repeat(2, 1))


def test_crop_keeps_what_is_seen_and_drops_the_rest():
    masks = [blob(30, 47, seed) for seed in range(40)]
    far = np.zeros((30, 47), bool)
    far[0, 0] = far[29, 46] = True  # its box covers the window, its pixels do not
    masks.append(far)
    cut = crop(sample_of(masks, without_mask=(0,)), x=10, y=5, height=15, width=20)
    assert cut.image.shape == (15, 20, 3)
    seen = [i for i, mask in enumerate(masks) if i == 0 or mask[5:20, 10:30].any()]
    assert 3 < len(seen) < 41 and 40 not in seen
    x, y, w, h = box_of(masks[0])
    expected = [0] if x < 30 and x + w > 10 and y < 20 and y + h > 5 else []
    assert cut.classes.tolist() == expected + seen[1:]
    for row, i in enumerate(cut.classes):
        if i == 0:
            continue
        np.testing.assert_array_equal(painted(cut, row), masks[i][5:20, 10:30])
        x, y, w, h = box_of(masks[i][5:20, 10:30])
        np.testing.assert_array_equal(cut.boxes[row], [x, y, x + w, y + h])
        part = masks[i][5:20, 10:30].sum() / masks[i].sum()
        np.testing.assert_allclose(cut.visible[row], part, rtol=1e-6)
        x1, y1, x2, y2 = cut.mask_boxes[row]
        assert x1 >= 0 and y1 >= 0 and x2 <= 20 and y2 <= 15


def test_crop_of_a_resized_sample_keeps_whole_mask_pixels():
    mask = np.ones((10, 10), bool)
    resized = rescale(sample_of([mask]), np.zeros((40, 40, 3), np.uint8))
    cut = crop(resized, x=6, y=2, height=20, width=20)
    # pixels of 4: columns 1 to 6 and rows 0 to 5 touch the window
    assert cut.crops[0].shape == (6, 6)
    np.testing.assert_array_equal(cut.mask_boxes[0], [-2, -2, 22, 22])
    np.testing.assert_array_equal(cut.boxes[0], [0, 0, 20, 20])


def test_resampled_masks_keep_their_region():
    masks = [np.ones((30, 47), bool), blob(30, 47, 3)]
    sample = sample_of(masks, without_mask=(1,))
    resampled = resample_masks(flip_horizontal(sample), 28)
    assert resampled.crops[0].shape == (28, 28) and resampled.crops[0].all()
    assert resampled.crops[1] is None
    np.testing.assert_array_equal(resampled.mask_boxes, sample.mask_boxes)
