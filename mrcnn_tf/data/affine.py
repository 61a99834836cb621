"""Affine maps of one sample: one resampling of the pixels, and one of each object's own mask."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from PIL import Image

from mrcnn_tf.data.instance_masks import tighten
from mrcnn_tf.data.sample import Sample
from mrcnn_tf.data.transforms import FILL, box_areas, joints_inside


def scaling(x: float, y: float) -> np.ndarray:
    """The map that multiplies x and y, float64 [3, 3] on (x, y, 1) in continuous coordinates."""
    return np.diag([x, y, 1.0])


def translation(x: float, y: float) -> np.ndarray:
    """The map that adds to x and y."""
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


def rotation(degrees: float, x: float, y: float) -> np.ndarray:
    """The map that turns clockwise, as seen with y downwards, around a point."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turn = np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])
    return translation(x, y) @ turn @ translation(-x, -y)


def warp(sample: Sample, matrix: np.ndarray, height: int, width: int) -> Sample:
    """Maps the image, its masks, boxes and joints into a new image.

    Pixels are interpolated bilinearly; those of an image that shrinks are first averaged over
    blocks of whole pixels. Each mask crop is interpolated in the region it gets to, at the
    resolution of its own pixels or of the new image, whichever is finer. Boxes are those of the
    mapped masks; of an object without a mask, that of the mapped corners of its box. Boxes are
    clipped to the image and joints outside of it are not annotated; an object that has nothing in
    the image is left out.

    Args:
        sample: the sample.
        matrix: float64 [3, 3], from (x, y, 1) in pixels of the sample to pixels of the new image.
        height: of the new image.
        width: of the new image.
    """
    size = np.array([width, height] * 2, np.float32)
    whole_boxes = _bounds(sample.boxes, matrix)
    boxes = np.clip(whole_boxes, 0, size)
    share = box_areas(boxes) / np.maximum(box_areas(whole_boxes), 1e-9)
    crops, mask_boxes = list(sample.crops), np.zeros_like(sample.mask_boxes)
    for i, crop in enumerate(sample.crops):
        if crop is None:
            continue
        to_image = matrix @ _pixels_of_crop(crop, sample.mask_boxes[i])
        found = _warped_crop(crop, to_image, height, width)
        share[i] = 0.0 if found is None else _share_inside(crop, to_image, height, width)
        if found is not None:
            crops[i], mask_boxes[i] = found
            boxes[i] = np.clip(mask_boxes[i], 0, size)
    keypoints = _warped_joints(sample, matrix)
    warped = replace(
        sample,
        image=_warped_image(sample.image, matrix, height, width),
        boxes=boxes.astype(np.float32),
        crops=crops,
        mask_boxes=mask_boxes,
        keypoints=joints_inside(keypoints, (width, height)),
    )
    return warped.with_visible(share).take(np.flatnonzero(share > 0))


def _scale(matrix: np.ndarray) -> float:
    return math.sqrt(abs(np.linalg.det(matrix[:2, :2])))


def _bounds(boxes: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """The boxes [N, 4] around the mapped corners of boxes."""
    corners = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].astype(np.float64).reshape(-1, 4, 2)
    mapped = corners @ matrix[:2, :2].T + matrix[:2, 2]
    return np.concatenate([mapped.min(axis=1), mapped.max(axis=1)], axis=1)


def _transformed(
    image: Image.Image, matrix: np.ndarray, height: int, width: int, fill: int | tuple
) -> np.ndarray:
    # Pillow asks where a pixel comes from, and takes the centres of pixels for both.
    inverse = np.linalg.inv(matrix)[:2].ravel().tolist()
    moved = image.transform(
        (width, height),
        Image.Transform.AFFINE,
        inverse,
        Image.Resampling.BILINEAR,
        fillcolor=fill,
    )
    return np.asarray(moved)


def _warped_image(image: np.ndarray, matrix: np.ndarray, height: int, width: int) -> np.ndarray:
    pixels = Image.fromarray(image)
    block = int(1 / _scale(matrix))
    if block > 1:
        pixels = pixels.reduce(block)
        matrix = matrix @ scaling(block, block)
    return _transformed(pixels, matrix, height, width, FILL)


def _pixels_of_crop(crop: np.ndarray, mask_box: np.ndarray) -> np.ndarray:
    """The map from pixels of a crop to those of the sample."""
    x1, y1, x2, y2 = mask_box.tolist()
    return translation(x1, y1) @ scaling((x2 - x1) / crop.shape[1], (y2 - y1) / crop.shape[0])


def _warped_crop(
    crop: np.ndarray, to_image: np.ndarray, height: int, width: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """The mapped crop, cut to the extent of its pixels, and its region, or None without one."""
    left, top, right, bottom = _bounds(_extent(crop), to_image)[0]
    left, top = max(math.floor(left), 0), max(math.floor(top), 0)
    right, bottom = min(math.ceil(right), width), min(math.ceil(bottom), height)
    if right <= left or bottom <= top:
        return None
    step = min(1.0, _scale(to_image))
    columns, rows = max(round((right - left) / step), 1), max(round((bottom - top) / step), 1)
    to_region = scaling(1 / step, 1 / step) @ translation(-left, -top) @ to_image
    values = Image.fromarray(crop.astype(np.uint8) * np.uint8(255))
    mask = _transformed(values, to_region, rows, columns, fill=0) >= 128
    if not mask.any():  # so thin that it lies between the centres of pixels
        x, y = _places(crop, to_region)
        inside = (x >= 0) & (x < columns) & (y >= 0) & (y < rows)
        mask[y[inside].astype(int), x[inside].astype(int)] = True
    region = np.array([left, top, left + columns * step, top + rows * step])
    return tighten(mask, region)


def _extent(crop: np.ndarray) -> np.ndarray:
    return np.array([[0, 0, crop.shape[1], crop.shape[0]]])


def _places(crop: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Where the centres of a crop's pixels get to, [2, pixels]."""
    y, x = np.nonzero(crop)
    return matrix[:2, :2] @ np.stack([x + 0.5, y + 0.5]) + matrix[:2, 2:]


def _share_inside(crop: np.ndarray, to_image: np.ndarray, height: int, width: int) -> float:
    """The part of a crop's pixels that get into the image, more than zero."""
    left, top, right, bottom = _bounds(_extent(crop), to_image)[0]
    if left >= 0 and top >= 0 and right <= width and bottom <= height:
        return 1.0
    x, y = _places(crop, to_image)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    return max(float(inside.mean()), 1e-6)


def _warped_joints(sample: Sample, matrix: np.ndarray) -> np.ndarray | None:
    keypoints = sample.keypoints
    if keypoints is None:
        return None
    if np.linalg.det(matrix[:2, :2]) < 0:  # a left hand is a right hand in a mirror
        keypoints = keypoints[:, sample.mirrored_joints]
    moved = keypoints.copy()
    moved[..., :2] = keypoints[..., :2] @ matrix[:2, :2].T + matrix[:2, 2]
    return moved
