import numpy as np
import pytest
from pycocotools import mask as coco_mask

from mrcnn_tf.data.instance_masks import (
    decode_crop,
    pack_crops,
    paint_crop,
    resample_crop,
    tighten,
    unpack_crops,
)
from tests.data.coco_folder import blob, compressed, uncompressed


def pasted(found, height, width):
    crop, (x1, y1, x2, y2) = found
    mask = np.zeros((height, width), bool)
    mask[y1:y2, x1:x2] = crop
    return mask


def test_all_encodings_decode_to_the_tight_crop_of_the_same_mask():
    for seed in range(20):
        mask = blob(30, 47, seed)
        for segmentation in (compressed(mask), uncompressed(mask)):
            found = decode_crop(segmentation, 30, 47)
            np.testing.assert_array_equal(pasted(found, 30, 47), mask)
            crop = found[0]
            assert crop[0].any() and crop[-1].any() and crop[:, 0].any() and crop[:, -1].any()


def test_polygons_equal_pycocotools_and_parts_are_united():
    polygons = [[2.3, 3.1, 20.7, 5.2, 11.0, 25.4], [30, 10, 50, 10, 50, 29, 30, 29]]
    expected = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(polygons, 30, 47)))
    found = decode_crop(polygons, 30, 47)
    np.testing.assert_array_equal(pasted(found, 30, 47), expected.astype(bool))

    # pycocotools would read the four numbers as a box
    with_scraps = [*polygons, [0, 0, 5, 5], [1, 2, 3, 4, 5, 6, 7]]
    np.testing.assert_array_equal(pasted(decode_crop(with_scraps, 30, 47), 30, 47), expected)
    assert decode_crop([[0, 0, 5, 5]], 30, 47) is None


def test_a_run_of_length_zero_does_not_widen_the_crop():
    # pixel 5 of 4 x 5 in column order is (row 1, column 1); the empty run sits at pixel 17
    counts = [5, 1, 11, 0, 3]
    crop, box = decode_crop({"size": [4, 5], "counts": counts}, 4, 5)
    assert crop.tolist() == [[True]]
    assert box == (1, 1, 2, 2)
    assert decode_crop({"size": [4, 5], "counts": [20]}, 4, 5) is None


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ({"size": [30, 40], "counts": "abc"}, r"\[30, 40\], the image is \[30, 47\]"),
        ({"size": [30, 47], "counts": [10, 5]}, "do not add up to 30 x 47"),
        ({"size": [30, 47], "counts": [-1, 30 * 47 + 1]}, "do not add up"),
        (
            {"size": [30, 47], "counts": compressed(np.ones((60, 60)))["counts"]},
            "cannot be decoded",
        ),
        ({"size": [30, 47]}, "no `counts`"),
        ("polygon", "is a str"),
        ([1, 2, 3, 4, 5, 6], "list of polygons"),
        ([[1, 2, 3, 4, 5, "a"]], "not a number"),
        ([[1, 2, 3, 4, 5, float("nan")]], "not finite"),
    ],
)
def test_malformed_segmentations_say_what_is_wrong(segmentation, message):
    with pytest.raises(ValueError, match=message):
        decode_crop(segmentation, 30, 47)


def test_packing_is_packbits_from_byte_boundaries_and_comes_back():
    crops = [np.ones((3, 3), bool), None, np.eye(4, 5, dtype=bool)]
    packed, shapes = pack_crops(crops)
    assert shapes.tolist() == [[3, 3], [0, 0], [4, 5]]
    assert packed.tolist() == [0b11111111, 0b10000000, 0b10000010, 0b00001000, 0b00100000]
    behind = np.concatenate([packed, np.zeros(7, np.uint8)])
    for back, crop in zip(unpack_crops(behind, shapes), crops, strict=True):
        assert (back is None) == (crop is None)
        if crop is not None:
            np.testing.assert_array_equal(back, crop)
    packed, shapes = pack_crops([])
    assert packed.shape == (0,) and shapes.shape == (0, 2)


def test_resampling_keeps_the_form_and_never_empties_a_mask():
    y, x = np.mgrid[:200, :300]
    disc = ((y - 99.5) / 100) ** 2 + ((x - 149.5) / 150) ** 2 < 1
    small = resample_crop(disc, 28)
    assert small.shape == (28, 28) and small.dtype == bool
    assert abs(small.mean() - np.pi / 4) < 0.02
    np.testing.assert_array_equal(small, small[::-1, ::-1])
    large = resample_crop(disc[::10, ::10], 112)
    assert abs(large.mean() - np.pi / 4) < 0.02

    corners = np.zeros((1000, 1000), bool)
    corners[0, 0] = corners[-1, -1] = True
    kept = resample_crop(corners, 28)
    assert kept[0, 0] and kept[-1, -1] and kept.sum() == 2


def test_a_mask_of_another_resolution_covers_the_pixels_whose_centres_it_has():
    canvas = np.zeros((6, 8), bool)
    paint_crop(np.array([[True, False], [True, True]]), np.float32([-1, 1.2, 5, 4.8]), canvas)
    expected = np.zeros((6, 8), bool)
    expected[1:3, :2] = expected[3:5, :5] = True
    np.testing.assert_array_equal(canvas, expected)
    paint_crop(np.ones((2, 2), bool), np.float32([8, 0, 9, 3]), canvas)  # outside
    np.testing.assert_array_equal(canvas, expected)


def test_tighten_cuts_empty_edges_and_moves_the_region():
    crop = np.zeros((4, 6), bool)
    crop[1:3, 2] = True
    found, region = tighten(crop, np.float32([10, 20, 22, 28]))
    assert found.shape == (2, 1) and found.all()
    np.testing.assert_array_equal(region, [14, 22, 16, 26])
    assert tighten(np.zeros((2, 2), bool), np.float32([0, 0, 2, 2])) is None
