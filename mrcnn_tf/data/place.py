"""Bringing one image to its size and place: all that moves pixels, in one resampling."""

from __future__ import annotations

import numpy as np

from mrcnn_tf.data import affine
from mrcnn_tf.data.augmentation import Choices
from mrcnn_tf.data.sample import Sample
from mrcnn_tf.data.sample_reader import resize
from mrcnn_tf.data.transforms import (
    crop,
    flip_horizontal,
    flip_vertical,
    rescale,
    shift,
    transpose,
)
from mrcnn_tf.ops.resize_image import resized_shape


def place(
    sample: Sample,
    choices: Choices,
    size: tuple[int, int] | None,
    canvas: tuple[int, int] | None = None,
    image_resize: str = "antialias",
) -> Sample:
    """Cuts a part out of a sample, resizes, flips, turns and shifts it, and cuts it to the canvas.

    Without a turn, pixels are resized as by `resize_image` and else move by whole pixels, and masks
    keep theirs. With one, all steps are one affine map, see `mrcnn_tf.data.affine`. A turn leaves
    the size; its corners are filled.

    Args:
        sample: the sample as it was read.
        choices: what was drawn for it.
        size: (short side, long side) to resize to, None for a sample that is already resized.
        canvas: (height, width) to cut to where the image is larger, at the position drawn.
        image_resize: see `resize_image`.
    """
    if choices.angle:
        return _place_by_map(sample, choices, size, canvas, image_resize)
    if choices.part is not None:
        sample = crop(sample, *part_window(choices, sample))
    if size is not None:
        sample = rescale(sample, resize(sample.image, size, image_resize))
    if choices.flip:
        sample = flip_horizontal(sample)
    if choices.vertical_flip:
        sample = flip_vertical(sample)
    if choices.transpose:
        sample = transpose(sample)
    height, width = sample.image.shape[:2]
    if any(choices.shift):
        sample = shift(sample, *_pixels(choices, height, width))
    if canvas is not None and (height > canvas[0] or width > canvas[1]):
        sample = crop(sample, *cut_position(choices, (height, width), canvas), *canvas)
    return sample


def part_window(choices: Choices, sample: Sample) -> tuple[int, int, int, int]:
    """x, y, height and width of the part of a sample that is cut out first."""
    height, width = sample.image.shape[:2]
    if choices.part is None:
        return 0, 0, height, width
    rows = min(max(round(height * choices.part[0]), 1), height)
    columns = min(max(round(width * choices.part[1]), 1), width)
    x = min(int(choices.part[2] * (width - columns + 1)), width - columns)
    y = min(int(choices.part[3] * (height - rows + 1)), height - rows)
    return x, y, rows, columns


def cut_position(
    choices: Choices, shape: tuple[int, int], canvas: tuple[int, int]
) -> tuple[int, int]:
    """x and y at which an image of a shape (height, width) is cut to a canvas."""
    spare_y, spare_x = max(shape[0] - canvas[0], 0), max(shape[1] - canvas[1], 0)
    x = min(int(choices.crop[0] * (spare_x + 1)), spare_x)
    y = min(int(choices.crop[1] * (spare_y + 1)), spare_y)
    return x, y


def _pixels(choices: Choices, height: int, width: int) -> tuple[int, int]:
    """The shift in whole pixels, fewer than the image has."""
    x, y = round(choices.shift[0] * width), round(choices.shift[1] * height)
    return int(np.clip(x, 1 - width, width - 1)), int(np.clip(y, 1 - height, height - 1))


def _place_by_map(sample, choices, size, canvas, image_resize) -> Sample:
    x, y, part_height, part_width = part_window(choices, sample)
    height, width = part_height, part_width
    if size is not None:
        height, width = resized_shape(height, width, *size, image_resize)
    matrix = affine.scaling(width / part_width, height / part_height) @ affine.translation(-x, -y)
    if choices.flip:
        matrix = affine.translation(width, 0) @ affine.scaling(-1, 1) @ matrix
    if choices.vertical_flip:
        matrix = affine.translation(0, height) @ affine.scaling(1, -1) @ matrix
    if choices.transpose:
        matrix = matrix[[1, 0, 2]]
        height, width = width, height
    matrix = affine.rotation(choices.angle, width / 2, height / 2) @ matrix
    matrix = affine.translation(*_pixels(choices, height, width)) @ matrix
    if canvas is not None:
        x, y = cut_position(choices, (height, width), canvas)
        matrix = affine.translation(-x, -y) @ matrix
        height, width = min(height, canvas[0]), min(width, canvas[1])
    return affine.warp(sample, matrix, height, width)
