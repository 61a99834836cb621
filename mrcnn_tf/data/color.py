"""Random changes of colour, and erased rectangles: what leaves every object where it is."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageStat

_RAMP = Image.fromarray(np.arange(256, dtype=np.uint8)[None])


def jitter_color(
    image: np.ndarray,
    numbers: np.random.Generator,
    brightness: float = 0.0,
    contrast: float = 0.0,
    saturation: float = 0.0,
    hue: float = 0.0,
) -> np.ndarray:
    """Changes brightness, contrast, saturation and hue, in a random order.

    As torchvision's `ColorJitter`: factors of the first three are uniform in
    [max(0, 1 - strength), 1 + strength] and give the pixels that it gives for Pillow images; the
    hue moves by up to `hue` of the colour circle to either side, in floating point, as for tensors.

    Args:
        image: uint8 [H, W, 3], left as it is.
        numbers: the same ones are drawn from it whatever the strengths are.
        brightness: strength.
        contrast: strength.
        saturation: strength.
        hue: at most 0.5.
    """
    order, places = numbers.permutation(4), numbers.random(4)
    changes = (change_brightness, change_contrast, change_saturation, change_hue)
    strengths = (brightness, contrast, saturation, hue)
    for i in order:
        if strengths[i]:
            low = -hue if i == 3 else max(0.0, 1 - strengths[i])
            high = hue if i == 3 else 1 + strengths[i]
            image = changes[i](image, low + (high - low) * float(places[i]))
    return image


def change_brightness(image: np.ndarray, factor: float) -> np.ndarray:
    """Mixes an image with black: 0 is black, 1 the image."""
    return _mixed(image, 0, factor)


def change_contrast(image: np.ndarray, factor: float) -> np.ndarray:
    """Mixes an image with the mean of its grey values."""
    grey = Image.fromarray(image).convert("L")
    return _mixed(image, int(ImageStat.Stat(grey).mean[0] + 0.5), factor)


def change_saturation(image: np.ndarray, factor: float) -> np.ndarray:
    """Mixes an image with its grey values."""
    return np.asarray(ImageEnhance.Color(Image.fromarray(image)).enhance(factor))


def change_hue(image: np.ndarray, amount: float) -> np.ndarray:
    """Turns the colours by a part of the colour circle."""
    with tf.device("/CPU:0"):
        turned = tf.image.adjust_hue(tf.cast(image, tf.float32) / 255.0, amount)
        return tf.cast(turned * 255.0 + 0.5, tf.uint8).numpy()


def erase(image: np.ndarray, numbers: np.random.Generator) -> np.ndarray:
    """Overwrites a random rectangle of an image with noise.

    It covers 0.02 to 0.33 of the image, its height is 0.3 to 3.3 of its width. Objects keep what is
    annotated of them, as in Zhong et al., Random Erasing Data Augmentation, 2020, and torchvision's
    `RandomErasing`: they are to be found although they are hidden.

    Args:
        image: uint8 [H, W, 3], left as it is. One in which no such rectangle is found in ten
            attempts is returned.
        numbers: drawn from.
    """
    height, width = image.shape[:2]
    for _ in range(10):
        area = height * width * numbers.uniform(0.02, 0.33)
        ratio = math.exp(numbers.uniform(math.log(0.3), math.log(3.3)))
        rows, columns = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < rows < height and 0 < columns < width:
            y, x = numbers.integers(height - rows + 1), numbers.integers(width - columns + 1)
            erased = image.copy()
            noise = numbers.integers(0, 256, [rows, columns, 3], np.uint8)
            erased[y : y + rows, x : x + columns] = noise
            return erased
    return image


def _mixed(image: np.ndarray, level: int, factor: float) -> np.ndarray:
    """An image mixed with one grey, by a table of all values, which is faster than pixels are."""
    table = Image.blend(Image.new("L", _RAMP.size, level), _RAMP, factor)
    return np.asarray(Image.fromarray(image).point(np.asarray(table)[0].tolist() * 3))
