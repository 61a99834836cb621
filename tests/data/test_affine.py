import numpy as np
import pytest

from mrcnn_tf.data import affine
from mrcnn_tf.data.transforms import flip_horizontal, rescale, transpose
from tests.data.colored_samples import colored_sample, grown, mask_of, shrunk


def test_maps():
    point = np.array([3.0, 5.0, 1.0])
    np.testing.assert_allclose(affine.scaling(2, 4) @ point, [6, 20, 1])
    np.testing.assert_allclose(affine.translation(2, 4) @ point, [5, 9, 1])
    # clockwise with y downwards: what is right of the centre goes below it
    np.testing.assert_allclose(affine.rotation(90, 2, 5) @ point, [2, 6, 1], atol=1e-12)


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        (np.eye(3), lambda s: s),
        (affine.translation(120, 0) @ affine.scaling(-1, 1), flip_horizontal),
        (np.eye(3)[[1, 0, 2]], transpose),
    ],
)
def test_exact_moves_as_a_map_are_the_exact_moves(matrix, expected):
    sample = colored_sample(0)
    expected = expected(sample)
    moved = affine.warp(sample, matrix, *expected.image.shape[:2])
    np.testing.assert_array_equal(moved.image, expected.image)
    np.testing.assert_array_equal(moved.boxes, expected.boxes)
    np.testing.assert_array_equal(moved.keypoints, expected.keypoints)
    for i in range(len(sample.crops)):
        np.testing.assert_array_equal(moved.crops[i], expected.crops[i])
    assert (moved.visible == 1).all()


@pytest.mark.parametrize("scale", [0.2, 0.5, 1.0, 2.5])
def test_scales_agree_with_resizing(scale):
    sample = colored_sample(1, (200, 300))
    height, width = round(200 * scale), round(300 * scale)
    expected = rescale(sample, np.zeros((height, width, 3), np.uint8))
    moved = affine.warp(sample, affine.scaling(scale, scale), height, width)
    assert len(moved.classes) == len(sample.classes)
    np.testing.assert_allclose(moved.boxes, expected.boxes, atol=max(1.0, scale / 2))
    np.testing.assert_allclose(moved.keypoints, expected.keypoints, rtol=1e-5, atol=1e-4)
    for i in range(len(sample.crops)):
        found, wanted = mask_of(moved, i), mask_of(expected, i)
        assert not (shrunk(wanted) & ~found).any() and not (found & ~grown(wanted)).any()


def test_an_image_that_shrinks_is_averaged():
    sample = colored_sample(0, (400, 400), colors=())
    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3), np.uint8)
    noisy = sample.__class__(**{**vars(sample), "image": noise})
    turned = affine.warp(noisy, affine.scaling(0.1, 0.1), 40, 40).image
    assert turned.std() < noise.std() / 5 and abs(turned.mean() - noise.mean()) < 3


def test_masks_of_shrinking_images_keep_their_resolution():
    sample = colored_sample(0, (200, 300), (1,))
    matrix = affine.rotation(10, 100, 100) @ affine.translation(30, 30) @ affine.scaling(0.5, 0.5)
    moved = affine.warp(sample, matrix, 200, 200)
    assert moved.visible[0] == 1
    assert moved.crops[0].sum() == pytest.approx(sample.crops[0].sum(), rel=0.03)
    x1, y1, x2, y2 = moved.mask_boxes[0]
    np.testing.assert_allclose((x2 - x1) / moved.crops[0].shape[1], 0.5, rtol=1e-5)


def test_boxes_without_masks_are_those_of_their_corners():
    sample = colored_sample(0, masked=False)
    matrix = affine.rotation(30, 60, 45)
    moved = affine.warp(sample, matrix, 90, 120)
    kept = {int(c): box for c, box in zip(moved.classes, moved.boxes, strict=True)}
    assert len(kept) == len(sample.classes)
    for color, (x1, y1, x2, y2) in zip(sample.classes, sample.boxes, strict=True):
        corners = matrix @ [[x1, x2, x2, x1], [y1, y1, y2, y2], [1, 1, 1, 1]]
        box = [*corners[:2].min(axis=1), *corners[:2].max(axis=1)]
        expected = np.clip(box, 0, [120, 90, 120, 90])
        np.testing.assert_allclose(kept[int(color)], expected, rtol=1e-5)


def test_sides_change_places_in_a_mirrored_map_only():
    sample = colored_sample(0)
    for matrix, mirrored in ((np.diag([-1.0, -1, 1]), False), (np.diag([-1.0, 1, 1]), True)):
        shift = affine.translation(120, 0 if mirrored else 90)
        moved = affine.warp(sample, shift @ matrix, 90, 120).keypoints
        # the left joint is 8 pixels left of the right one; in a mirror they are named anew
        across = moved[:, 2, 0] - moved[:, 1, 0]
        np.testing.assert_allclose(across, 8 if mirrored else -8, atol=1e-4)
