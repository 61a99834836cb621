"""Mosaic: four images put together to one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mrcnn_tf.data.augmentation import Choices
from mrcnn_tf.data.copy_paste import cover
from mrcnn_tf.data.place import part_window, place
from mrcnn_tf.data.sample import Sample
from mrcnn_tf.data.transforms import filled, joined, onto

_UNLIMITED = 10**9


def mosaic(
    samples: Sequence[Sample],
    choices: Sequence[Choices],
    centre: tuple[float, float],
    shape: tuple[int, int],
    image_resize: str = "antialias",
) -> Sample:
    """Puts four images into the quarters of one, around a centre.

    Each image goes through its own choices, but its size is the smallest that fills its quarter,
    which is cut out of it at the position drawn.

    Args:
        samples: four, at their own size.
        choices: what was drawn for each.
        centre: position 0..1 in x and y at which the four meet; each quarter has a third to two
            thirds of each side.
        shape: (height, width) of the result.
        image_resize: see `resize_image`.

    Source: Bochkovskiy et al., YOLOv4, 2020.
    """
    height, width = shape
    x = min(max(round(width * (1 + centre[0]) / 3), 1), max(width - 1, 1))
    y = min(max(round(height * (1 + centre[1]) / 3), 1), max(height - 1, 1))
    image = filled(height, width)
    tiles = []
    corners = [(0, 0, x, y), (x, 0, width, y), (0, y, x, height), (x, y, width, height)]
    for sample, drawn, (left, top, right, bottom) in zip(samples, choices, corners, strict=True):
        quarter = bottom - top, right - left
        if min(quarter) < 1:
            continue  # an image of one row or column has no four quarters
        size = _covering(sample, drawn, quarter)
        tile = place(sample, drawn, size, quarter, image_resize)
        rows, columns = tile.image.shape[:2]
        image[top : top + rows, left : left + columns] = tile.image
        beyond = np.ones(shape, bool)
        beyond[top:bottom, left:right] = False
        # pixels of masks can reach past the cut by a part
        tiles.append(cover(onto(tile, image, left, top), beyond))
    return joined(tiles, image)


def _covering(sample: Sample, choices: Choices, quarter: tuple[int, int]) -> tuple[int, int]:
    _, _, height, width = part_window(choices, sample)
    rows, columns = quarter[::-1] if choices.transpose else quarter
    scale = max(rows / height, columns / width)
    return math.ceil(scale * min(height, width)) + 1, _UNLIMITED
