from pathlib import Path

import numpy as np
import pytest

from mrcnn_tf.data import color

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "color_jitter.npz")
IMAGE = GOLDEN["image"]


@pytest.mark.parametrize("name", [name for name in GOLDEN if name != "image"])
def test_changes_are_those_of_torchvision(name):
    change, amount = name.split("_")
    found = getattr(color, f"change_{change}")(IMAGE, float(amount)).astype(int)
    if change == "hue":  # torchvision rounds down what it computes in floating point
        assert np.abs(found - GOLDEN[name]).max() <= 1
    else:
        np.testing.assert_array_equal(found, GOLDEN[name])


def numbers(seed):
    return np.random.default_rng(seed)


def test_jitter_draws_order_and_strength():
    strengths = {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1}
    before = IMAGE.copy()
    images = [color.jitter_color(IMAGE, numbers(seed), **strengths) for seed in range(20)]
    assert len({image.tobytes() for image in images}) == 20
    np.testing.assert_array_equal(IMAGE, before)
    np.testing.assert_array_equal(images[3], color.jitter_color(IMAGE, numbers(3), **strengths))
    assert color.jitter_color(IMAGE, numbers(0)) is IMAGE
    # one change is the same whether the others are made or not
    means = [color.jitter_color(IMAGE, numbers(s), brightness=0.5).mean() for s in range(300)]
    means = np.array(means) / IMAGE.mean()
    assert 0.5 <= means.min() < 0.52 and 1.2 < means.max() <= 1.5
    turned = color.jitter_color(IMAGE, numbers(0), hue=0.5)
    np.testing.assert_array_equal(turned[:4], IMAGE[:4])
    assert (turned[4:] != IMAGE[4:]).any()


def test_erase_overwrites_one_rectangle_of_the_sizes_of_the_paper():
    image = np.zeros((120, 160, 3), np.uint8)
    shares, ratios = [], []
    for seed in range(200):
        erased = color.erase(image, numbers(seed)).any(axis=-1)
        rows, columns = np.flatnonzero(erased.any(axis=1)), np.flatnonzero(erased.any(axis=0))
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert erased.sum() >= 0.99 * height * width  # noise may be black
        shares.append(height * width / erased.size)
        ratios.append(height / width)
    assert 0.018 < min(shares) < 0.06 and 0.28 < max(shares) < 0.34
    assert 0.28 < min(ratios) < 0.4 and 2.5 < max(ratios) < 3.5
    assert not image.any()
    tiny = np.zeros((1, 1, 3), np.uint8)
    assert color.erase(tiny, numbers(0)) is tiny
