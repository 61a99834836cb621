import numpy as np
import pytest

from mrcnn_tf.data.augmentation import Augmentation, draw


def test_choices_depend_on_seed_epoch_and_image_only():
    everything = Augmentation(True, True, True, (0.5, 2.0))
    first = draw(everything, seed=1, epoch=2, image_id=3)
    assert draw(everything, 1, 2, 3) == first
    others = [draw(everything, *key) for key in [(0, 2, 3), (1, 0, 3), (1, 2, 0), (2, 1, 3)]]
    assert len({c.scale for c in [first, *others]}) == 5
    assert draw(everything, 1, 2, -3) != first

    drawn = [draw(everything, 0, 0, i) for i in range(2000)]
    for name in ("flip", "vertical_flip", "transpose"):
        assert abs(np.mean([getattr(c, name) for c in drawn]) - 0.5) < 0.05
    scales = [c.scale for c in drawn]
    assert 0.5 <= min(scales) < 0.55 and 1.95 < max(scales) <= 2.0

    only_flip = [draw(Augmentation(flip=True), 0, 0, i) for i in range(200)]
    assert [c.flip for c in only_flip] == [c.flip for c in drawn[:200]]
    assert not any(c.vertical_flip or c.transpose for c in only_flip)
    assert {c.scale for c in only_flip} == {1.0}


def test_what_is_new_leaves_what_was_drawn_before():
    plain, all_of_it = (
        Augmentation(flip=True),
        Augmentation(flip=True, crop=(0.5, 1.0), rotation=20.0, translation=0.1, mosaic=1.0),
    )
    for image_id in range(50):
        first, second = draw(plain, 0, 0, image_id), draw(all_of_it, 0, 0, image_id)
        assert (first.flip, first.crop) == (second.flip, second.crop)
        assert first.part is None and first.angle == 0 and first.shift == (0, 0)
    partners = [draw(all_of_it, 0, 0, 1, partner=n) for n in range(4)]
    assert len({choices.angle for choices in partners}) == 4


def test_sizes_angles_and_shifts_are_uniform():
    augmentation = Augmentation(
        short_sides=range(60, 80), crop=(0.5, 0.8), rotation=20.0, translation=0.1
    )
    drawn = [draw(augmentation, 0, 0, i) for i in range(2000)]
    assert {c.short_side for c in drawn} == set(range(60, 80))
    parts = np.array([c.part for c in drawn])
    assert 0.5 <= parts[:, :2].min() < 0.51 and 0.79 < parts[:, :2].max() <= 0.8
    assert parts[:, 2:].min() < 0.01 and parts[:, 2:].max() > 0.99
    assert abs(np.corrcoef(parts.T) - np.eye(4)).max() < 0.1
    for values, limit in (([c.angle for c in drawn], 20), ([c.shift[1] for c in drawn], 0.1)):
        assert -limit <= min(values) < -0.98 * limit and 0.98 * limit < max(values) <= limit
        assert abs(np.mean(values)) < 0.05 * limit


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scale_jitter": (2.0, 1.0)}, r"scale_jitter must be .* 0 < lowest, got \(2.0, 1.0\)"),
        ({"scale_jitter": (0.5, np.inf)}, "scale_jitter must be"),
        ({"crop": (0.5, 1.1)}, r"crop must be .* 0 < lowest <= highest <= 1, got"),
        ({"crop": (0.0, 1.0)}, "crop must be"),
        ({"short_sides": ()}, r"short_sides must be positive, got \(\)"),
        ({"short_sides": (640, 0)}, "short_sides must be positive"),
        ({"short_sides": (640,), "scale_jitter": (1, 2)}, "both decide the size"),
        ({"rotation": 181}, "rotation must be between 0 and 180, got 181"),
        ({"translation": -0.1}, "translation must be between 0 and 1"),
        ({"brightness": -1}, "brightness must be between 0 and inf"),
        ({"hue": 0.6}, "hue must be between 0 and 0.5, got 0.6"),
        ({"copy_paste": 2}, "copy_paste must be between 0 and 1, got 2"),
        ({"min_visible": np.nan}, "min_visible must be between 0 and 1, got nan"),
    ],
)
def test_values_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        Augmentation(**settings)
