import dataclasses

import numpy as np
import pytest

from mrcnn_tf.data import CocoDataset, coco, shapes
from mrcnn_tf.data.copy_paste import copy_paste, cover
from mrcnn_tf.data.transforms import crop, rescale
from tests.data.colored_samples import COLORS, colored_sample, mask_of, pixels_of

BELOW = colored_sample(2, colors=(0, 1, 2, 3))
ABOVE = colored_sample(1, colors=(4, 5, 6, 7))


def numbers(seed):
    return np.random.default_rng(seed)


def test_pasted_objects_lie_on_top_and_a_random_part_of_them_is_pasted():
    chosen = set()
    for seed in range(30):
        pasted = copy_paste(BELOW, ABOVE, numbers(seed))
        assert pasted.image_id == 2 and pasted.image.shape == BELOW.image.shape
        own = pasted.classes < 4
        assert (np.diff(own.astype(int)) <= 0).all()
        for i in np.flatnonzero(~own):
            color = pasted.classes[i]
            np.testing.assert_array_equal(mask_of(pasted, i), pixels_of(ABOVE.image, color))
            assert (pasted.image[mask_of(pasted, i)] == COLORS[color]).all()
            assert pasted.visible[i] == 1
        chosen.add(tuple(pasted.classes[~own]))
        for i in np.flatnonzero(own):
            before = pixels_of(BELOW.image, pasted.classes[i])
            after = pixels_of(pasted.image, pasted.classes[i])
            np.testing.assert_array_equal(mask_of(pasted, i), after)
            np.testing.assert_allclose(pasted.visible[i], after.sum() / before.sum(), rtol=1e-6)
            y, x = np.nonzero(after)
            box = [x.min(), y.min(), x.max() + 1, y.max() + 1]
            np.testing.assert_array_equal(pasted.boxes[i], box)
    assert len(chosen) > 8


def test_what_is_covered_loses_its_mask_box_and_visible_joints():
    covered = np.zeros(BELOW.image.shape[:2], bool)
    hidden = pixels_of(BELOW.image, 1)
    covered |= hidden  # all of one
    x1, y1, x2, y2 = BELOW.boxes[2].astype(int)
    covered[:, : (x1 + x2) // 2 + 2] |= pixels_of(BELOW.image, 2)[:, : (x1 + x2) // 2 + 2]
    after = cover(BELOW, covered)
    assert 1 in BELOW.classes and after.classes.tolist() == [0, 2, 3]
    np.testing.assert_array_equal(after.boxes[1], [(x1 + x2) // 2 + 2, y1, x2, y2])
    assert 0.2 < after.visible[1] < 0.8 and after.visible[0] == after.visible[2] == 1
    # the middle and the left joint are under what covers it, the right one is not
    np.testing.assert_array_equal(after.keypoints[1, :, 2], [1, 1, 2])
    np.testing.assert_array_equal(after.keypoints[[0, 2]], BELOW.keypoints[[0, 3]])


def test_objects_without_masks_stay_unless_covered_wholly_and_are_not_pasted():
    plain = dataclasses.replace(BELOW, crops=[None] * 4, mask_boxes=np.zeros([4, 4], np.float32))
    covered = np.zeros(BELOW.image.shape[:2], bool)
    x1, y1, x2, y2 = BELOW.boxes[0].astype(int)
    covered[y1:y2, x1:x2] = True
    x1, y1, x2, y2 = BELOW.boxes[1].astype(int)
    covered[y1:y2, x1 : x1 + 1] = True
    after = cover(plain, covered)
    assert after.classes.tolist() == [1, 2, 3]
    np.testing.assert_array_equal(after.boxes, plain.boxes[1:])
    assert 0.5 < after.visible[0] < 1
    crowd = dataclasses.replace(ABOVE, is_crowd=np.ones(4, bool))
    for partner in (plain, crowd):
        pasted = copy_paste(BELOW, partner, numbers(0))
        np.testing.assert_array_equal(pasted.image, BELOW.image)
        np.testing.assert_array_equal(pasted.classes, BELOW.classes)


def test_masks_of_enlarged_images_are_covered_by_the_pixel():
    large = rescale(BELOW, BELOW.image.repeat(3, axis=0).repeat(3, axis=1))
    covered = np.zeros(large.image.shape[:2], bool)
    x1, _, x2, _ = large.boxes[2].astype(int)
    covered[:, : (x1 + x2) // 2 + 1] = True
    after = cover(large, covered)
    i = int(np.flatnonzero(after.classes == 2)[0])
    np.testing.assert_array_equal(mask_of(after, i), pixels_of(large.image, 2) & ~covered)


def test_images_of_different_sizes_share_a_canvas_or_the_size_of_the_first():
    small = crop(ABOVE, 0, 0, 60, 70)
    assert len(small.classes) > 1
    for below, above in ((BELOW, small), (small, BELOW)):
        height, width = below.image.shape[:2]
        places = set()
        for seed in range(10):
            pasted = copy_paste(below, above, numbers(seed))
            assert pasted.image.shape == below.image.shape
            assert (pasted.boxes >= 0).all() and (pasted.boxes[:, 2:] <= [width, height]).all()
            for color in pasted.classes:
                i = int(np.flatnonzero(pasted.classes == color)[0])
                found = pixels_of(pasted.image, color)
                np.testing.assert_array_equal(mask_of(pasted, i), found)
                places.add(tuple(np.argwhere(found)[0]))
        assert len(places) > 8  # they come to different places
        shared = copy_paste(below, above, numbers(3), canvas=(100, 130))
        assert shared.image.shape[:2] == (90, 120)


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
    assert y["classes"].shape[1] == np.sort(dataset.object_counts())[-2:].sum()
    assert x["images"].shape[0] == 6 and counts[1.0].sum() > counts[0.5].sum() > counts[0.0].sum()
    assert (counts[0.5] == counts[0.0]).sum() in range(1, 6)
    assert (stream(1.0, max_objects=4)[1]["classes"].numpy() >= 0).sum(axis=1).max() == 4
    with pytest.raises(ValueError, match="copy_paste must be between 0 and 1"):
        stream(1.5)
