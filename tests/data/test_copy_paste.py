from dataclasses import replace

import numpy as np
import pytest

from mrcnn_tf.data import CocoDataset, coco, shapes
from mrcnn_tf.data.copy_paste import copy_paste, paint
from tests.data.coco_folder import blob, box_of
from tests.data.test_transforms import painted, sample_of


def coloured(seed, colour, height=30, width=47, count=5):
    """Blobs of which each has a colour of its own, later ones over earlier ones."""
    masks = [blob(height, width, seed + i) for i in range(count)]
    for i, upper in enumerate(masks[1:], start=1):
        masks[:i] = [mask & ~upper for mask in masks[:i]]
    masks = [mask for mask in masks if mask.any()]
    image = np.zeros((height, width, 3), np.uint8)
    for i, mask in enumerate(masks):
        image[mask] = (colour, i + 1, 0)
    return sample_of(masks, image)


@pytest.mark.parametrize("seed", range(0, 200, 10))
def test_every_pixel_of_an_object_stays_under_its_mask_and_in_its_box(seed):
    sample, source = coloured(seed, 100), coloured(seed + 1000, 200, width=40)
    chosen = np.random.default_rng(seed).random(len(source.classes)) < 0.6
    pasted = copy_paste(sample, source, chosen)
    colours = [(100, i + 1) for i in sample.classes] + [(200, i + 1) for i in source.classes]
    found = {}
    for i in range(len(pasted.classes)):
        mask = painted(pasted, i)
        [colour] = np.unique(pasted.image[mask][:, :2], axis=0).tolist()
        np.testing.assert_array_equal(mask, (pasted.image[..., :2] == colour).all(axis=-1))
        x, y, width, height = box_of(mask)
        np.testing.assert_array_equal(pasted.boxes[i], [x, y, x + width, y + height])
        found[tuple(colour)] = mask.sum()
    for i, (colour, whole) in enumerate(zip(colours, sample.crops + source.crops, strict=True)):
        visible = (pasted.image[..., :2] == colour).all(axis=-1).sum()
        if i < len(sample.classes):
            assert found.get(colour, 0) == (visible if visible >= 0.1 * whole.sum() else 0)
        else:
            assert found.get(colour, 0) == visible
            assert visible == 0 or chosen[i - len(sample.classes)]


def test_crowds_objects_without_a_mask_and_joints():
    square = np.zeros((20, 20), bool)
    square[5:15, 5:15] = True
    half = square.copy()
    half[:10] = False
    joints = np.float32([[6, 6, 2], [6, 12, 2], [0, 0, 0]])
    below = sample_of([square, square], without_mask=(0,))
    below = replace(below, keypoints=np.stack([joints, joints]))
    above = sample_of([square, half, square, square], without_mask=(2,))
    above.is_crowd[3] = True
    above = replace(above, keypoints=np.stack([joints] * 4))

    # Both below are covered wholly; of those above neither the bare box nor the crowd is taken.
    pasted = copy_paste(below, above, np.array([True, False, True, True]))
    assert len(pasted.classes) == 1
    np.testing.assert_array_equal(pasted.keypoints, [joints])
    pasted = copy_paste(below, above, np.array([False, True, True, True]))
    assert pasted.crops[0] is None and pasted.crops[1].shape == (5, 10) and pasted.crops[1].all()
    np.testing.assert_array_equal(pasted.boxes, [[5, 5, 15, 15], [5, 5, 15, 10], [5, 10, 15, 15]])
    assert pasted.keypoints[..., 2].tolist() == [[2, 1, 0], [2, 1, 0], [2, 2, 0]]
    assert copy_paste(below, above, np.zeros(4, bool)) is below


def test_a_mask_of_another_resolution_covers_the_pixels_whose_centres_it_has():
    canvas = np.zeros((6, 8), bool)
    paint(canvas, np.array([[True, False], [True, True]]), np.float32([-1, 1.2, 5, 4.8]))
    expected = np.zeros((6, 8), bool)
    expected[1:3, :2] = expected[3:5, :5] = True
    np.testing.assert_array_equal(canvas, expected)
    paint(canvas, np.ones((2, 2), bool), np.float32([8, 0, 9, 3]))  # outside
    np.testing.assert_array_equal(canvas, expected)


def test_in_the_stream(tmp_path):
    shapes.generate(tmp_path, 6, image_size=96, progress=False)
    dataset = CocoDataset(tmp_path / "images", tmp_path / "annotations" / "train.json")

    def stream(part, **options):
        options = {"max_objects": None, "cache": True, "scale_jitter": (0.6, 1.2), **options}
        batches = coco(dataset, batch_size=6, size=96, copy_paste=part, seed=1, **options)
        return next(iter(batches))

    counts = {}
    for part in (0.0, 0.5, 1.0):
        x, y = stream(part)
        _, again = stream(part)
        for name in y:
            np.testing.assert_array_equal(y[name], again[name])
        counts[part] = (y["classes"].numpy() >= 0).sum(axis=1)
    assert y["classes"].shape[1] == 2 * stream(0.0)[1]["classes"].shape[1]
    assert x["images"].shape[0] == 6 and counts[1.0].sum() > counts[0.5].sum() > counts[0.0].sum()
    assert (counts[0.5] == counts[0.0]).sum() in range(1, 6)
    assert (stream(1.0, max_objects=4)[1]["classes"].numpy() >= 0).sum(axis=1).max() == 4
    with pytest.raises(ValueError, match="copy_paste must be a part of the images"):
        stream(1.5)
