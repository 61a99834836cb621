"""Exact moves of one sample with its masks and joints: flips, transpose, scale, crop, padding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from mrcnn_tf.data.instance_masks import resample_crop, tighten
from mrcnn_tf.data.keypoints import only_annotated
from mrcnn_tf.data.sample import Sample

# Where an image does not reach: ImageNet's mean, which normalisation brings to zero, as padding.
FILL = (124, 116, 104)


def flip_horizontal(sample: Sample) -> Sample:
    """Mirrors left to right: x becomes width - x."""
    width = sample.image.shape[1]

    def mirror(boxes: np.ndarray) -> np.ndarray:
        return np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], 1)

    return _moved(sample, sample.image[:, ::-1], mirror, lambda crop: crop[:, ::-1], True)


def flip_vertical(sample: Sample) -> Sample:
    """Mirrors top to bottom: y becomes height - y."""
    height = sample.image.shape[0]

    def mirror(boxes: np.ndarray) -> np.ndarray:
        return np.stack([boxes[:, 0], height - boxes[:, 3], boxes[:, 2], height - boxes[:, 1]], 1)

    return _moved(sample, sample.image[::-1], mirror, lambda crop: crop[::-1], True)


def transpose(sample: Sample) -> Sample:
    """Swaps x and y."""
    return _moved(
        sample,
        sample.image.transpose(1, 0, 2),
        lambda boxes: boxes[:, [1, 0, 3, 2]],
        lambda crop: crop.T,
        True,
    )


def rescale(sample: Sample, image: np.ndarray) -> Sample:
    """The sample with its image replaced by a resized one; the crops keep their resolution."""
    if image.shape == sample.image.shape:
        return replace(sample, image=image)
    factors = np.array(image.shape[1::-1] * 2, np.float64) / np.array(sample.image.shape[1::-1] * 2)
    return _moved(sample, image, lambda boxes: boxes * factors, lambda crop: crop, False)


def crop(sample: Sample, x: int, y: int, height: int, width: int) -> Sample:
    """Cuts a window out of the image.

    Boxes are clipped to the window; that of an object whose mask loses a part becomes the box of
    what is left of it, as with Detectron2's `recompute_boxes`. An object is left out when its box
    or its mask has nothing in the window. Mask crops are cut to the mask pixels that touch the
    window, so `mask_boxes` may reach past it by less than one pixel of the mask. Joints outside of
    the window become such that are not annotated. `visible` tells what part of each object is left.

    Args:
        sample: the sample to cut.
        x: left edge of the window in pixels of the image.
        y: top edge.
        height: height of the window; it may reach past the image, which is then not padded.
        width: width of the window.
    """
    image = sample.image[y : y + height, x : x + width]
    limits = np.array(image.shape[1::-1] * 2, np.float32)
    boxes = np.clip(sample.boxes - np.array([x, y, x, y], np.float32), 0, limits)
    mask_boxes = sample.mask_boxes.copy()
    crops = list(sample.crops)
    share = box_areas(boxes) / np.maximum(box_areas(sample.boxes), 1e-9)
    for i in np.flatnonzero(share > 0):
        if crops[i] is None:
            continue
        mask_box = sample.mask_boxes[i].astype(np.float64) - (x, y, x, y)
        crops[i], mask_boxes[i] = _cut(crops[i], mask_box, image.shape[:2])
        share[i] = np.count_nonzero(crops[i]) / np.count_nonzero(sample.crops[i])
        if 0 < share[i] < 1:
            crops[i], mask_boxes[i] = tighten(crops[i], mask_boxes[i])
            boxes[i] = np.clip(mask_boxes[i], 0, limits)
    moved = replace(
        sample,
        image=image,
        boxes=boxes,
        crops=crops,
        mask_boxes=mask_boxes,
        keypoints=None if sample.keypoints is None else sample.keypoints - np.float32([x, y, 0]),
    )
    moved = replace(moved, keypoints=joints_inside(moved.keypoints, image.shape[1::-1]))
    return moved.with_visible(share).take(np.flatnonzero(share > 0))


def pad(sample: Sample, x: int, y: int, height: int, width: int) -> Sample:
    """Puts the image at (x, y) into a larger one of this height and width, filled with `FILL`."""
    image = filled(height, width)
    image[y : y + sample.image.shape[0], x : x + sample.image.shape[1]] = sample.image
    return onto(sample, image, x, y)


def filled(height: int, width: int) -> np.ndarray:
    """An image of `FILL`, which NumPy writes row by row much faster than pixel by pixel."""
    image = np.empty([height, width, 3], np.uint8)
    image.reshape(height, -1)[:] = np.tile(np.uint8(FILL), width)
    return image


def onto(sample: Sample, image: np.ndarray, x: int, y: int) -> Sample:
    """The objects of a sample whose image lies at (x, y) in another one."""
    offset = np.array([x, y, x, y], np.float32)
    return _moved(sample, image, lambda boxes: boxes + offset, lambda crop: crop, False)


def shift(sample: Sample, x: int, y: int) -> Sample:
    """Moves everything by whole pixels within the image's size; what leaves it is cut off."""
    height, width = sample.image.shape[:2]
    kept = crop(sample, max(-x, 0), max(-y, 0), height - abs(y), width - abs(x))
    return pad(kept, max(x, 0), max(y, 0), height, width)


def joined(samples: Sequence[Sample], image: np.ndarray) -> Sample:
    """The objects of several samples in one image; the id is that of the first."""

    def of_all(name: str) -> np.ndarray | None:
        values = [getattr(sample, name) for sample in samples]
        return None if values[0] is None else np.concatenate(values)

    samples = [sample.with_visible(np.float32(1)) for sample in samples]
    names = ("boxes", "classes", "is_crowd", "mask_boxes", "keypoints", "visible")
    return replace(
        samples[0],
        image=image,
        crops=[crop for sample in samples for crop in sample.crops],
        **{name: of_all(name) for name in names},
    )


def resample_masks(sample: Sample, side: int) -> Sample:
    """Brings every mask crop to side x side; the regions they cover stay."""
    crops = [None if c is None else resample_crop(c, side) for c in sample.crops]
    return replace(sample, crops=crops)


def box_areas(boxes: np.ndarray) -> np.ndarray:
    """Areas [N] of boxes [N, 4], zero where a side is not positive."""
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0).astype(np.float64)
    return sides[:, 0] * sides[:, 1]


def joints_inside(keypoints: np.ndarray | None, size: tuple[int, int]) -> np.ndarray | None:
    """Joints with those outside of an image of `size` (width, height) not annotated."""
    if keypoints is None:
        return None
    places = keypoints[..., :2]
    is_inside = ((places >= 0) & (places <= size)).all(axis=-1)
    return only_annotated(keypoints, is_inside & (keypoints[..., 2] > 0))


def _moved(
    sample: Sample,
    image: np.ndarray,
    move_boxes: Callable[[np.ndarray], np.ndarray],
    move_crop: Callable[[np.ndarray], np.ndarray],
    mirrored: bool,
) -> Sample:
    has_mask = np.array([c is not None for c in sample.crops], bool)
    mask_boxes = np.where(has_mask[:, None], move_boxes(sample.mask_boxes), 0)
    return replace(
        sample,
        image=image,
        boxes=move_boxes(sample.boxes).astype(np.float32),
        crops=[None if c is None else move_crop(c) for c in sample.crops],
        mask_boxes=mask_boxes.astype(np.float32),
        keypoints=_moved_joints(sample, move_boxes, mirrored),
    )


def _moved_joints(sample: Sample, move_boxes: Callable, mirrored: bool) -> np.ndarray | None:
    if sample.keypoints is None:
        return None
    keypoints = sample.keypoints
    if mirrored:  # a left hand is a right hand in every mirror
        keypoints = keypoints[:, sample.mirrored_joints]
    # A joint moves as a box does that begins and ends there.
    boxes = move_boxes(keypoints[..., [0, 1, 0, 1]].reshape(-1, 4))
    moved = keypoints.copy()
    moved[..., :2] = boxes[:, :2].reshape(*keypoints.shape[:2], 2)
    return only_annotated(moved, moved[..., 2] > 0)


def _cut(mask: np.ndarray, box: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The rows and columns of a crop that touch a window of `size` at the origin, and their box."""
    cell_x, cell_y = (box[2] - box[0]) / mask.shape[1], (box[3] - box[1]) / mask.shape[0]
    first_x = max(int(np.floor(-box[0] / cell_x)), 0)
    first_y = max(int(np.floor(-box[1] / cell_y)), 0)
    last_x = min(int(np.ceil((size[1] - box[0]) / cell_x)), mask.shape[1])
    last_y = min(int(np.ceil((size[0] - box[1]) / cell_y)), mask.shape[0])
    region = (
        box[0] + first_x * cell_x,
        box[1] + first_y * cell_y,
        box[0] + last_x * cell_x,
        box[1] + last_y * cell_y,
    )
    return mask[first_y : max(last_y, 0), first_x : max(last_x, 0)], np.array(region, np.float32)
