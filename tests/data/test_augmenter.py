import dataclasses

import numpy as np
import pytest

from mrcnn_tf.data.augmentation import Augmentation
from mrcnn_tf.data.augmenter import Augmenter
from mrcnn_tf.data.sample import Sample
from tests.data.colored_samples import colored_sample, grown, mask_of, pixels_of, shrunk, touched

SHAPES = [(90, 120), (120, 90), (100, 100), (61, 140)]
FLIPS = {"flip": True, "vertical_flip": True, "transpose": True}
JITTER = {"scale_jitter": (0.6, 2.0)}
TURNS = {"rotation": 30.0, "translation": 0.2}
MIXES = {"copy_paste": 0.7, "mosaic": 0.5}
CASES = {
    "jitter": ({**FLIPS, **JITTER}, (100, 110)),
    "short sides": ({**FLIPS, "short_sides": range(60, 130)}, None),
    "crop": ({**FLIPS, "crop": (0.4, 1.0)}, None),
    "shift": ({**FLIPS, "translation": 0.5}, None),
    "turn": (TURNS, None),
    "turn and jitter": ({**FLIPS, **TURNS, **JITTER, "crop": (0.6, 1.0)}, (100, 110)),
    "paste": ({**FLIPS, "copy_paste": 1.0}, None),
    "paste on a canvas": ({**FLIPS, **JITTER, "copy_paste": 1.0}, (100, 110)),
    "mosaic": ({**FLIPS, "mosaic": 1.0}, None),
    "everything": ({**FLIPS, **TURNS, **JITTER, **MIXES}, (120, 130)),
    "everything without a canvas": ({**FLIPS, **TURNS, **MIXES, "crop": (0.5, 1.0)}, None),
}


class Images:
    """Four images; each one that is read has colours that those read before do not have."""

    def __init__(self):
        self.colors = iter(())

    def __iter__(self):
        return iter(range(4))

    def get(self, image_id):
        return colored_sample(image_id, SHAPES[image_id], next(self.colors))


def augmenter(settings, canvas=None, samples=None, max_objects=100, size=(60, 100), seed=0):
    augmentation = Augmentation(**settings)
    return Augmenter(samples.get, augmentation, list(samples), size, canvas, seed, max_objects)


def check(sample: Sample) -> int:
    """Every object is under its mask and in its box; returns how many whole ones were seen."""
    height, width = sample.image.shape[:2]
    whole = 0
    for color in range(8):
        found = pixels_of(sample.image, color)
        rows = np.flatnonzero(sample.classes == color)
        masks = [mask_of(sample, i) for i in rows]
        union = np.any([np.zeros([height, width], bool), *masks], axis=0)
        if len(rows) == 0:  # of an object that is left out no whole pixel is seen
            assert not shrunk(found).any()
            continue
        # Of what is cut a sliver can be left that no centre of a pixel is in, or a blended edge.
        is_cut = sample.visible is not None and (sample.visible[rows] < 1).any()
        near = [
            grown(grown(touched(sample, i))) if is_cut else grown(mask_of(sample, i)) for i in rows
        ]
        assert not (found & ~np.any(near, axis=0)).any()
        assert not (shrunk(union) & ~found).any()
        for i, mask in zip(rows, masks, strict=True):
            y, x = np.nonzero(mask_of(sample, i, fineness=4))
            if len(y):  # else less than a quarter of a pixel is in sight
                tight = np.array([x.min(), y.min(), x.max() + 1, y.max() + 1]) / 4
                assert np.abs(sample.boxes[i] - tight).max() <= 1
            y, x = np.nonzero(mask)
            assert (sample.boxes[i] >= 0).all() and (sample.boxes[i, 2:] <= [width, height]).all()
            assert (sample.boxes[i, 2:] > sample.boxes[i, :2]).all()
            middle, left, right = sample.keypoints[i]
            if sample.visible is None or sample.visible[i] == 1:
                assert np.abs(middle[:2] - [x.mean() + 0.5, y.mean() + 0.5]).max() <= 1
                np.testing.assert_allclose(left[:2] + right[:2], 2 * middle[:2], atol=1e-3)
                whole += 1
    annotated = sample.keypoints[sample.keypoints[..., 2] > 0]
    assert (annotated[:, :2] >= 0).all() and (annotated[:, :2] <= [width, height]).all()
    assert not sample.keypoints[sample.keypoints[..., 2] == 0].any()
    return whole


@pytest.mark.parametrize("name", CASES)
def test_an_object_stays_under_its_mask_and_in_its_box(name):
    settings, canvas = CASES[name]
    samples = Images()
    load = augmenter({**settings, "min_visible": 0.0}, canvas, samples).load
    whole, images = 0, set()
    for epoch in range(6):
        for image_id in range(4):
            samples.colors = iter([(0, 1), (2, 3), (4, 5), (6,), (7,)])
            sample = load(image_id, epoch)
            whole += check(sample)
            images.add(sample.image.tobytes())
            if canvas is not None:
                assert sample.image.shape[0] <= canvas[0] and sample.image.shape[1] <= canvas[1]
    assert whole > 10 and len(images) > 20


def same(first, second):
    for field in dataclasses.fields(Sample):
        a, b = getattr(first, field.name), getattr(second, field.name)
        if field.name == "crops":
            assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
        else:
            np.testing.assert_array_equal(a, b)


ALL = {
    **FLIPS, **TURNS, **JITTER, **MIXES, "crop": (0.5, 1.0), "brightness": 0.4, "contrast": 0.4,
    "saturation": 0.4, "hue": 0.1, "erasing": 0.5,
}  # fmt: skip


def test_what_is_made_is_a_function_of_seed_epoch_and_image():
    samples = {i: colored_sample(i, SHAPES[i]) for i in range(4)}
    first, again = (augmenter(ALL, (100, 110), samples) for _ in range(2))
    expected = [first.load(i, epoch) for epoch in range(3) for i in range(4)]
    places = [(i, epoch) for epoch in range(3) for i in range(4)]
    for place in np.random.default_rng(0).permutation(12):
        same(again.load(*places[place]), expected[place])
    other = augmenter(ALL, (100, 110), samples, seed=1).load(0, 0)
    assert not np.array_equal(other.image, expected[0].image)


def test_what_was_read_is_left_as_it_was():
    samples = {i: colored_sample(i, (90, 120)) for i in range(2)}
    for sample in samples.values():
        for field in dataclasses.fields(Sample):
            value = getattr(sample, field.name)
            for array in value if isinstance(value, list) else [value]:
                if isinstance(array, np.ndarray):
                    array.flags.writeable = False
    for settings in (ALL, {"copy_paste": 1.0, "erasing": 1.0}):
        load = augmenter(settings, samples=samples).load
        for epoch in range(5):
            load(0, epoch)


def test_defaults_change_nothing():
    samples = {0: colored_sample(0)}
    same(augmenter({}, samples=samples).load(0, 3), samples[0])


def nothing(image_id, shape):
    return colored_sample(image_id, shape, colors=())


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (2, 2), (400, 3), (50, 60)])
def test_images_without_objects_and_of_hostile_sizes(shape):
    samples = {0: nothing(0, shape), 1: nothing(1, (40, 50)), 2: colored_sample(2)}
    for canvas in (None, (100, 110)):
        load = augmenter(ALL, canvas, samples).load
        for epoch in range(6):
            sample = load(0, epoch)
            assert min(sample.image.shape) >= 1 and len(sample.classes) == len(sample.crops)
            assert (sample.boxes[:, 2:] > sample.boxes[:, :2]).all()


def test_objects_of_one_pixel_crowds_and_objects_without_masks():
    small, plain = colored_sample(0, (60, 60), (1,)), colored_sample(1, (60, 60), masked=False)
    crowds = dataclasses.replace(plain, image_id=2, is_crowd=np.ones(len(plain.classes), bool))
    spots = np.random.default_rng(0).integers(0, 59, [30, 2]).astype(np.float32)
    boxes = np.concatenate([spots, spots + 1], axis=1)
    small = dataclasses.replace(
        small,
        boxes=boxes,
        mask_boxes=boxes,
        crops=[np.ones((1, 1), bool)] * 30,
        classes=np.arange(30, dtype=np.int32),
        is_crowd=np.zeros(30, bool),
        keypoints=np.zeros((30, 3, 3), np.float32),
    )
    samples = {0: small, 1: plain, 2: crowds}
    turned = augmenter({"rotation": 45.0}, samples=samples, size=(60, 60)).load(0, 0)
    assert 20 < len(turned.classes) <= 30  # none vanishes between the pixels
    assert all(crop.sum() in (1, 2) for crop in turned.crops)
    load = augmenter({"copy_paste": 1.0}, samples=samples).load
    pasted_into = [load(i, epoch) for i in (1, 2) for epoch in range(8)]
    counts = [len(sample.classes) for sample in pasted_into]
    assert max(counts) > len(plain.classes)
    for sample in pasted_into:
        own = [c is None for c in sample.crops]
        assert sum(own) <= len(plain.classes)  # what has no mask is not pasted
        assert (np.array([c.any() for c in sample.crops if c is not None])).all()
    load = augmenter(ALL, (70, 70), samples).load
    for epoch in range(10):
        for image_id in samples:
            sample = load(image_id, epoch)
            assert (sample.boxes[:, 2:] > sample.boxes[:, :2]).all()


def test_objects_with_too_little_left_and_more_than_fit_are_left_out():
    samples = {i: colored_sample(i) for i in range(4)}
    for least in (0.0, 0.4):
        settings = {**TURNS, "crop": (0.3, 0.8), "min_visible": least}
        load = augmenter(settings, samples=samples).load
        visible = np.concatenate([load(i, e).visible for i in range(4) for e in range(20)])
        assert (visible >= least).all() and (visible < 1).any() and (visible <= 1).all()
    assert (visible < 0.6).any()
    settings = {"translation": 0.9, "min_visible": 1.0}
    crowds = [dataclasses.replace(s, is_crowd=s.classes % 2 == 0) for s in samples.values()]
    load = augmenter(settings, samples=dict(enumerate(crowds))).load
    shifted = [load(i, e) for i in range(4) for e in range(5)]
    assert any((s.visible < 1).any() for s in shifted)  # what is left of crowds stays
    assert all((s.visible[~s.is_crowd] == 1).all() for s in shifted)
    load = augmenter({"copy_paste": 1.0}, samples=samples, max_objects=3).load
    assert {len(load(i, 0).classes) for i in range(4)} == {3}


def test_an_image_that_cannot_be_read_is_left_out_also_as_a_partner():
    samples = {0: colored_sample(0), 1: None}
    assert augmenter(ALL, samples=samples).load(1, 0) is None
    load = augmenter({"copy_paste": 1.0, "mosaic": 0.5}, samples=samples).load
    assert all(load(0, epoch) is not None for epoch in range(10))


def test_colors_and_erasing_leave_objects_where_they_are():
    settings = {"brightness": 0.5, "contrast": 0.5, "saturation": 0.5, "hue": 0.2, "erasing": 1.0}
    sample = colored_sample(0)
    changed = augmenter(settings, samples={0: sample}).load(0, 0)
    assert (changed.image != sample.image).mean() > 0.5
    same(dataclasses.replace(changed, image=sample.image), sample)
