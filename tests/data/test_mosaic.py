import numpy as np
import pytest

from mrcnn_tf.data.augmentation import Augmentation, draw
from mrcnn_tf.data.mosaic import mosaic
from tests.data.colored_samples import colored_sample, grown, mask_of, pixels_of

SAMPLES = [
    colored_sample(i, shape, (2 * i, 2 * i + 1))
    for i, shape in enumerate([(90, 120), (120, 90), (60, 60), (50, 140)])
]
CHOICES = [draw(Augmentation(), 0, 0, 7, partner=i) for i in range(4)]


@pytest.mark.parametrize("method", ["antialias", "torchvision", "detectron2", "matterport"])
@pytest.mark.parametrize("centre", [(0.0, 0.0), (0.5, 0.5), (0.999, 0.2)])
def test_four_images_fill_the_quarters(centre, method):
    made = mosaic(SAMPLES, CHOICES, centre, (150, 210), method)
    assert made.image.shape == (150, 210, 3) and made.image_id == 0
    x, y = round(210 * (1 + centre[0]) / 3), round(150 * (1 + centre[1]) / 3)
    assert 70 <= x <= 140 and 50 <= y <= 100
    assert len(made.classes) >= 5
    corners = [(0, 0, x, y), (x, 0, 210, y), (0, y, x, 150), (x, y, 210, 150)]
    for i, color in enumerate(made.classes):
        left, top, right, bottom = corners[color // 2]
        assert (made.boxes[i] >= [left, top, left, top]).all()
        assert (made.boxes[i] < np.array([right, bottom, right, bottom]) + 0.5).all()
        found, mask = pixels_of(made.image, color), mask_of(made, i)
        assert not (found & ~grown(mask)).any() and not (mask & ~grown(found)).any()
    np.testing.assert_array_equal(
        made.image, mosaic(SAMPLES, CHOICES, centre, (150, 210), method).image
    )


def test_a_quarter_is_as_full_as_its_image_allows():
    samples = [s.__class__(**{**vars(s), "image": np.full_like(s.image, 1)}) for s in SAMPLES]
    made = mosaic(samples, CHOICES, (0.3, 0.6), (151, 211))
    assert (made.image == 1).all()  # nothing is filled in


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (2, 2), (3, 400)])
def test_tiny_mosaics(shape):
    made = mosaic(SAMPLES, CHOICES, (0.5, 0.5), shape)
    assert made.image.shape[:2] == shape
    assert (made.boxes[:, 2:] > made.boxes[:, :2]).all()
