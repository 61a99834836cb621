"""Copy-paste: objects of one image pasted into another."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from mrcnn_tf.data.instance_masks import paint_crop, tighten
from mrcnn_tf.data.sample import Sample
from mrcnn_tf.data.transforms import crop, joined, onto, pad


def copy_paste(
    sample: Sample,
    partner: Sample,
    numbers: np.random.Generator,
    canvas: tuple[int, int] | None = None,
) -> Sample:
    """Pastes a random subset of the partner's objects over a sample.

    Objects of the sample lose the mask pixels that are pasted over: their boxes become those of
    what is left, and those of which nothing is left are left out; joints under what is pasted are
    hidden (COCO's visibility 1). Objects without a mask are not pasted, and keep their boxes unless
    they are covered wholly. Edges are not blended, which the paper found to change nothing.

    Both images are what scales and crops made of them. On a canvas both lie in its upper left
    corner, and what is not covered by the sample is filled as padding; without one, the partner is
    cut to the sample's size, or put at a random place in it.

    Args:
        sample: what is pasted into.
        partner: what is pasted from.
        numbers: drawn from.
        canvas: (height, width), at least as large as both images.

    Source: Ghiasi et al., Simple Copy-Paste is a Strong Data Augmentation Method for Instance
        Segmentation, 2021.
    """
    place = numbers.random(2)
    chosen = numbers.random(len(partner.crops)) < 0.5
    has_mask = np.array([c is not None for c in partner.crops], bool)
    partner = partner.take(np.flatnonzero(chosen & has_mask & ~partner.is_crowd))
    if canvas is not None:
        height, width = np.maximum(sample.image.shape[:2], partner.image.shape[:2]).tolist()
        sample = pad(sample, 0, 0, height, width)
        x = y = 0
    else:
        height, width = sample.image.shape[:2]
        spare = np.array(partner.image.shape[1::-1]) - (width, height)
        x, y = (np.sign(spare) * (place * (abs(spare) + 1)).astype(int)).tolist()
        partner = crop(partner, max(x, 0), max(y, 0), height, width)
        x, y = max(-x, 0), max(-y, 0)
    pasted = np.zeros(partner.image.shape[:2], bool)
    for mask, region in zip(partner.crops, partner.mask_boxes, strict=True):
        paint_crop(mask, region, pasted)
    rows, columns = partner.image.shape[:2]
    image = sample.image.copy()
    image[y : y + rows, x : x + columns][pasted] = partner.image[pasted]
    covered = np.zeros([height, width], bool)
    covered[y : y + rows, x : x + columns] = pasted
    return joined([cover(sample, covered), onto(partner, image, x, y)], image)


def cover(sample: Sample, covered: np.ndarray) -> Sample:
    """Takes the covered pixels, bool [H, W], away from the objects of a sample."""
    crops, boxes, mask_boxes = list(sample.crops), sample.boxes.copy(), sample.mask_boxes.copy()
    share = np.ones(len(crops), np.float32)
    limits = np.array(covered.shape[::-1] * 2, np.float32)
    for i, mask in enumerate(sample.crops):
        if mask is None:
            share[i] = 1 - _covered_part(boxes[i], covered)
            continue
        mask = _as_fine_as_pixels(mask, mask_boxes[i])
        left = mask & ~_under(mask.shape, mask_boxes[i], covered)
        share[i] = np.count_nonzero(left) / np.count_nonzero(mask)
        if 0 < share[i] < 1:
            crops[i], mask_boxes[i] = tighten(left, mask_boxes[i])
            boxes[i] = np.clip(mask_boxes[i], 0, limits)
    keypoints = sample.keypoints
    if keypoints is not None:
        x, y = np.floor(keypoints[..., :2]).astype(int).transpose(2, 0, 1)
        x, y = x.clip(0, covered.shape[1] - 1), y.clip(0, covered.shape[0] - 1)
        hidden = covered[y, x] & (keypoints[..., 2] > 0)
        keypoints = keypoints.copy()
        keypoints[..., 2] = np.where(hidden, 1, keypoints[..., 2])
    moved = replace(sample, crops=crops, boxes=boxes, mask_boxes=mask_boxes, keypoints=keypoints)
    return moved.with_visible(share).take(np.flatnonzero(share > 0))


def _as_fine_as_pixels(mask: np.ndarray, region: np.ndarray) -> np.ndarray:
    """A crop whose pixels are no larger than those of the image, by repeating them."""
    rows = math.ceil((region[3] - region[1]) / mask.shape[0] - 1e-3)
    columns = math.ceil((region[2] - region[0]) / mask.shape[1] - 1e-3)
    if rows <= 1 and columns <= 1:
        return mask
    return mask.repeat(max(rows, 1), axis=0).repeat(max(columns, 1), axis=1)


def _under(shape: tuple[int, int], region: np.ndarray, covered: np.ndarray) -> np.ndarray:
    """Which pixels of a crop have their centre under what is covered."""
    x1, y1, x2, y2 = region.astype(np.float64).tolist()
    rows = y1 + (np.arange(shape[0]) + 0.5) * (y2 - y1) / shape[0]
    columns = x1 + (np.arange(shape[1]) + 0.5) * (x2 - x1) / shape[1]
    rows = np.floor(rows).astype(int).clip(0, covered.shape[0] - 1)
    columns = np.floor(columns).astype(int).clip(0, covered.shape[1] - 1)
    return covered[rows][:, columns]


def _covered_part(box: np.ndarray, covered: np.ndarray) -> float:
    x1, y1 = np.floor(box[:2]).astype(int)
    x2, y2 = np.ceil(box[2:]).astype(int)
    return float(covered[y1:y2, x1:x2].mean())
