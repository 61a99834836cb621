import numpy as np
import pytest
import tensorflow as tf
from pycocotools import mask as mask_utils

from mrcnn_tf.export.served_masks import check_mask_form, with_masks
from mrcnn_tf.ops import implementation, masks_to_rle, paste_masks

SIZES = np.int32([[40, 60], [33, 70]])
KEPT = (8, 3)


@pytest.fixture(scope="module")
def detections():
    """Smooth masks in boxes that reach out of the image, cover all of it, or are empty."""
    generator = np.random.default_rng(0)
    coarse = generator.random((16, 7, 7, 1), np.float32)
    masks = tf.image.resize(coarse, (28, 28)).numpy().reshape(2, 8, 28, 28)
    boxes = generator.uniform(-10, 40, (2, 8, 4)).astype(np.float32)
    boxes[..., 2:] = boxes[..., :2] + generator.uniform(0, 60, (2, 8, 2))
    boxes[0, :4] = [[0, 0, 60, 40], [0, -5, 30, 45], [9, 9, 9, 9], [-9, -9, 90, 90]]
    masks[0, :2] = 1.0  # full columns, which are one run from the first to the last
    classes = np.where(np.arange(8) < np.array(KEPT)[:, None], 1, -1).astype(np.int32)
    is_kept = classes >= 0
    return {
        "boxes": boxes * is_kept[..., None],
        "classes": classes,
        "masks": masks * is_kept[..., None, None],
    }


def traced(detections, form, whole_pixels=False):
    function = tf.function(
        lambda **given: with_masks(given, tf.constant(SIZES), form, whole_pixels), autograph=False
    )
    return function(**{name: tf.constant(value) for name, value in detections.items()})


@pytest.mark.parametrize("ops", ["plain", "compiled"])
@pytest.mark.parametrize("whole_pixels", [False, True])
def test_masks_in_the_image(detections, ops, whole_pixels):
    with implementation(ops):
        found = traced(detections, "image", whole_pixels)
    assert "masks" not in found
    masks = found["image_masks"].numpy()
    assert masks.shape == (2, 8, 40, 70) and masks.dtype == np.uint8
    np.testing.assert_array_equal(found["image_sizes"], SIZES)
    for row, (height, width) in enumerate(SIZES):
        expected = paste_masks(
            detections["masks"][row], detections["boxes"][row], height, width, 0.5, whole_pixels
        ).numpy()
        assert expected.any()
        np.testing.assert_array_equal(masks[row, :, :height, :width], expected)
        assert not masks[row, :, height:].any() and not masks[row, :, :, width:].any()
        assert not masks[row, KEPT[row] :].any()


@pytest.mark.parametrize("ops", ["plain", "compiled"])
@pytest.mark.parametrize("whole_pixels", [False, True])
def test_run_lengths(detections, ops, whole_pixels):
    with implementation(ops):
        found = traced(detections, "rle", whole_pixels)
    assert "masks" not in found
    for row, (height, width) in enumerate(SIZES.tolist()):
        kept = KEPT[row]
        expected = masks_to_rle(
            detections["masks"][row, :kept],
            detections["boxes"][row, :kept],
            height,
            width,
            whole_pixels=whole_pixels,
        )
        runs = zip(
            found["mask_counts"][row].numpy(), found["mask_lengths"][row].numpy(), strict=True
        )
        runs = [
            {"size": [height, width], "counts": counts[:length].tolist()} for counts, length in runs
        ]
        compressed = [mask_utils.frPyObjects(rle, height, width) for rle in runs[:kept]]
        assert [rle["counts"].decode() for rle in compressed] == [rle["counts"] for rle in expected]
        assert all(rle["counts"] == [] for rle in runs[kept:])


def test_forms_that_cannot_be():
    with pytest.raises(ValueError, match="masks must be one of boxes, image, rle; got 'polygon'"):
        check_mask_form("polygon", has_masks=True)
    with pytest.raises(ValueError, match="masks='rle' is for models with masks"):
        check_mask_form("rle", has_masks=False)
    check_mask_form("boxes", has_masks=False)
