import dataclasses

import numpy as np
import pytest

from mrcnn_tf.data.augmentation import Augmentation, Choices, draw
from mrcnn_tf.data.place import place
from mrcnn_tf.data.sample_reader import resize
from mrcnn_tf.data.transforms import FILL, crop
from tests.data.colored_samples import colored_sample, grown, mask_of, shrunk
from tests.data.test_transforms import sample_of

NOTHING = Choices(False, False, False, 1.0, (0.0, 0.0))


def test_place_cuts_to_the_canvas_at_the_place_drawn():
    mask = np.ones((20, 30), bool)
    image = np.arange(600, dtype=np.uint16).reshape(20, 30, 1).repeat(3, -1).astype(np.uint8)
    for position, (x, y) in {
        (0.0, 0.0): (0, 0),
        (0.999, 0.999): (14, 0),
        (0.5, 0.9): (7, 0),
    }.items():
        choices = Choices(False, False, False, 1.0, position)
        cut = place(sample_of([mask], image), choices, None, canvas=(24, 16))
        np.testing.assert_array_equal(cut.image, image[y : y + 20, x : x + 16])
    choices = Choices(False, False, True, 1.0, (0.0, 0.0))
    assert place(sample_of([mask], image), choices, None, canvas=(30, 20)).image.shape == (
        30,
        20,
        3,
    )


@pytest.mark.parametrize("method", ["antialias", "torchvision", "detectron2", "matterport"])
def test_a_part_is_cut_out_and_then_resized(method):
    sample = colored_sample(2)
    choices = dataclasses.replace(NOTHING, part=(0.5, 0.75, 0.5, 0.999))
    placed = place(sample, choices, (60, 200), image_resize=method)
    part = crop(sample, 15, 45, 45, 90)
    np.testing.assert_array_equal(placed.image, resize(part.image, (60, 200), method))
    assert placed.image.shape[:2] == (60, 120) and len(placed.classes) == len(part.classes)
    np.testing.assert_allclose(placed.boxes, part.boxes * 4 / 3, rtol=1e-6)
    for one, other in zip(placed.crops, part.crops, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_shift_moves_whole_pixels():
    sample = colored_sample(2)
    placed = place(sample, dataclasses.replace(NOTHING, shift=(0.101, -0.2)), None)
    np.testing.assert_array_equal(placed.image[:72, 12:], sample.image[18:, :108])
    assert (placed.image[72:] == FILL).all() and (placed.image[:, :12] == FILL).all()
    for i, color in enumerate(placed.classes):
        before = mask_of(sample, int(np.flatnonzero(sample.classes == color)[0]))
        np.testing.assert_array_equal(mask_of(placed, i)[:72, 12:], before[18:, :108])
    far = place(sample, dataclasses.replace(NOTHING, shift=(1.0, 1.0)), None)
    assert far.image.shape == sample.image.shape and len(far.classes) == 0


def test_a_slight_turn_is_what_is_placed_without_one():
    everything = Augmentation(True, True, True, crop=(0.5, 1.0), translation=0.2)
    sample = colored_sample(2, (180, 240))
    for epoch in range(12):
        choices = draw(everything, 0, epoch, 0)
        exact = place(sample, choices, (150, 400), (140, 170))
        turned = place(sample, dataclasses.replace(choices, angle=1e-6), (150, 400), (140, 170))
        assert turned.image.shape == exact.image.shape
        # what a part that is cut out leaves beyond a shift is filled, a map shows what is there
        filled = (exact.image == FILL).all(axis=-1)
        same = np.abs(turned.image[~filled].astype(int) - exact.image[~filled]).max(axis=-1) < 130
        assert same.mean() > 0.98
        for i, color in enumerate(exact.classes):
            row = np.flatnonzero(turned.classes == color)
            if len(row) == 0:  # a sliver at the edge that no centre of a pixel is in
                assert exact.visible[i] < 0.05
                continue
            found, wanted = mask_of(turned, row[0]), mask_of(exact, i)
            assert not (shrunk(wanted) & ~found).any()
            if exact.visible is None or exact.visible[i] == 1:
                assert not (found & ~grown(wanted)).any()
                np.testing.assert_allclose(turned.boxes[row[0]], exact.boxes[i], atol=1.5)
                np.testing.assert_allclose(
                    turned.keypoints[row[0]], exact.keypoints[i], rtol=1e-3, atol=0.01
                )
