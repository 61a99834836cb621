"""Geometric augmentation of one sample with its masks and joints: flips, transpose, scale, crop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from mrcnn_tf.data.instance_masks import resample_crop
from mrcnn_tf.data.keypoints import only_annotated


@dataclass(frozen=True)
class Sample:
    """One image and its objects.

    Attributes:
        image: uint8 [H, W, 3].
        image_id: the dataset's id.
        boxes: float32 [N, 4] in pixels of `image`.
        classes: int32 [N].
        is_crowd: bool [N].
        crops: bool [h, w] for each object, or None where it has no mask.
        mask_boxes: float32 [N, 4], the region of `image` that each crop covers, zeros where there
            is none.
        keypoints: float32 [N, K, 3], x, y in pixels of `image` and visibility, zeros where a joint
            is not annotated; None where joints are not read.
        mirrored_joints: int [K], the joint that each one is in a mirror, with `keypoints` alone.
    """

    image: np.ndarray
    image_id: int
    boxes: np.ndarray
    classes: np.ndarray
    is_crowd: np.ndarray
    crops: list[np.ndarray | None]
    mask_boxes: np.ndarray
    keypoints: np.ndarray | None = None
    mirrored_joints: np.ndarray | None = None

    def take(self, keep: np.ndarray) -> Sample:
        """The sample with only the objects at the indices `keep`."""
        return replace(
            self,
            boxes=self.boxes[keep],
            classes=self.classes[keep],
            is_crowd=self.is_crowd[keep],
            crops=[self.crops[i] for i in keep],
            mask_boxes=self.mask_boxes[keep],
            keypoints=None if self.keypoints is None else self.keypoints[keep],
        )


@dataclass(frozen=True)
class Augmentation:
    """Which random changes are made, each flip with probability 0.5.

    Attributes:
        flip: mirror left to right.
        vertical_flip: mirror top to bottom.
        transpose: swap x and y.
        scale_jitter: (lowest, highest) factor on the size an image is resized to, drawn uniformly.
        copy_paste: part of the images that get objects of another one, see `copy_paste`.
    """

    flip: bool = False
    vertical_flip: bool = False
    transpose: bool = False
    scale_jitter: tuple[float, float] | None = None
    copy_paste: float = 0.0


@dataclass(frozen=True)
class Choices:
    """What was drawn for one image in one epoch.

    `crop` is a position 0..1 in x and in y, `partner` a number 0..1 that says whose objects are
    pasted, or None.
    """

    flip: bool
    vertical_flip: bool
    transpose: bool
    scale: float
    crop: tuple[float, float]
    partner: float | None = None


def draw(augmentation: Augmentation, seed: int, epoch: int, image_id: int) -> Choices:
    """Draws the random choices of an image in an epoch, a function of its arguments alone.

    All numbers are drawn whatever is switched on, so that switching one change on leaves the
    others as they were.
    """
    values = np.random.default_rng([1, seed, epoch, image_id % 2**63]).random(8)
    low, high = augmentation.scale_jitter or (1.0, 1.0)
    return Choices(
        flip=augmentation.flip and bool(values[0] < 0.5),
        vertical_flip=augmentation.vertical_flip and bool(values[1] < 0.5),
        transpose=augmentation.transpose and bool(values[2] < 0.5),
        scale=float(low + (high - low) * values[3]),
        crop=(float(values[4]), float(values[5])),
        partner=float(values[7]) if values[6] < augmentation.copy_paste else None,
    )


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

    Boxes are clipped to the window. An object is left out when its box or its mask has nothing
    in the window. Mask crops are cut to the mask pixels that touch the window, so `mask_boxes`
    may reach past it by less than one pixel of the mask. Joints outside of the window become such
    that are not annotated.

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
    inside = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    for i in np.flatnonzero(inside):
        if crops[i] is None:
            continue
        mask_box = sample.mask_boxes[i].astype(np.float64) - (x, y, x, y)
        crops[i], mask_boxes[i] = _cut(crops[i], mask_box, image.shape[:2])
        inside[i] = crops[i].any()
    moved = replace(
        sample,
        image=image,
        boxes=boxes,
        crops=crops,
        mask_boxes=mask_boxes,
        keypoints=_joints_inside(sample.keypoints, (x, y), image.shape[1::-1]),
    )
    return moved.take(np.flatnonzero(inside))


def resample_masks(sample: Sample, side: int) -> Sample:
    """Brings every mask crop to side x side; the regions they cover stay."""
    crops = [None if c is None else resample_crop(c, side) for c in sample.crops]
    return replace(sample, crops=crops)


def augment(sample: Sample, choices: Choices, canvas: tuple[int, int] | None = None) -> Sample:
    """Applies the choices drawn for a sample that is already resized.

    Args:
        sample: the resized sample.
        choices: from `draw`.
        canvas: (height, width) to cut to where the image is larger, at the position drawn.
    """
    if choices.flip:
        sample = flip_horizontal(sample)
    if choices.vertical_flip:
        sample = flip_vertical(sample)
    if choices.transpose:
        sample = transpose(sample)
    if canvas is not None:
        height, width = sample.image.shape[:2]
        spare_y, spare_x = max(height - canvas[0], 0), max(width - canvas[1], 0)
        if spare_y or spare_x:
            x = min(int(choices.crop[0] * (spare_x + 1)), spare_x)
            y = min(int(choices.crop[1] * (spare_y + 1)), spare_y)
            sample = crop(sample, x, y, *canvas)
    return sample


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


def _joints_inside(
    keypoints: np.ndarray | None, corner: tuple[int, int], size: tuple[int, int]
) -> np.ndarray | None:
    """Joints in pixels of a window of `size` (width, height) at a corner (x, y) of the image."""
    if keypoints is None:
        return None
    moved = keypoints - np.array([*corner, 0], np.float32)
    places = moved[..., :2]
    is_inside = ((places >= 0) & (places <= size)).all(axis=-1)
    return only_annotated(moved, is_inside & (moved[..., 2] > 0))


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
