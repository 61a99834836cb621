"""Copy-paste augmentation: objects of one image laid over another."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mrcnn_tf.data.transforms import Sample, crop

VISIBLE = 0.1  # an object of which less than this part is left is left out


def copy_paste(sample: Sample, source: Sample, chosen: np.ndarray) -> Sample:
    """Lays objects of `source` over `sample`, at the place where they are.

    Masks below lose the covered pixels, and boxes shrink to what is left of them; an object that
    is covered almost wholly is left out. Covered joints become hidden (visibility 1). Edges are
    not blended, which the paper found to make no difference.

    Args:
        sample: the image to lay on.
        source: the image to take from; what reaches past `sample` is cut off.
        chosen: bool [N], the objects of `source` to take. Crowds and objects without a mask stay
            where they are.

    Returns:
        A sample with the objects of both, those of `source` last.

    Reference: Ghiasi et al., Simple Copy-Paste is a Strong Data Augmentation Method for Instance
    Segmentation, 2021.
    """
    has_mask = np.array([mask is not None for mask in source.crops], bool)
    source = source.take(np.flatnonzero(chosen & has_mask & ~source.is_crowd))
    source = crop(source, 0, 0, *sample.image.shape[:2])
    if not source.crops:
        return sample
    covered = np.zeros(sample.image.shape[:2], bool)
    height, width = source.image.shape[:2]
    for mask, box in zip(source.crops, source.mask_boxes, strict=True):
        paint(covered[:height, :width], mask, box)
    image = sample.image.copy()
    image[covered] = source.image[covered[:height, :width]]
    below = _occluded(sample, covered)
    return Sample(
        image=image,
        image_id=sample.image_id,
        boxes=np.concatenate([below.boxes, source.boxes]),
        classes=np.concatenate([below.classes, source.classes]),
        is_crowd=np.concatenate([below.is_crowd, source.is_crowd]),
        crops=below.crops + source.crops,
        mask_boxes=np.concatenate([below.mask_boxes, source.mask_boxes]),
        keypoints=(
            None if below.keypoints is None else np.concatenate([below.keypoints, source.keypoints])
        ),
        mirrored_joints=sample.mirrored_joints,
    )


def paint(canvas: np.ndarray, mask: np.ndarray, box: np.ndarray) -> None:
    """Sets the pixels of bool [H, W] whose centre the mask [h, w], lying on `box`, covers."""
    first = np.maximum(np.ceil(box[:2] - 0.5), 0).astype(int)
    last = np.minimum(np.ceil(box[2:] - 0.5), canvas.shape[::-1]).astype(int)
    if (last <= first).any():
        return
    columns, rows = (
        _cells(np.arange(first[axis], last[axis]) + 0.5, box[axis], box[axis + 2], count)
        for axis, count in enumerate(mask.shape[::-1])
    )
    canvas[first[1] : last[1], first[0] : last[0]] |= mask[rows[:, None], columns]


def _occluded(sample: Sample, covered: np.ndarray) -> Sample:
    """The objects of a sample of which enough is left, with what is left of them."""
    boxes, mask_boxes = sample.boxes.copy(), sample.mask_boxes.copy()
    crops, keep = list(sample.crops), []
    for i, mask in enumerate(crops):
        if mask is None:
            x1, y1, x2, y2 = np.round(boxes[i]).astype(int)
            part = covered[y1:y2, x1:x2]
            if sample.is_crowd[i] or not part.size or part.mean() <= 1 - VISIBLE:
                keep.append(i)
            continue
        left = mask & ~_sampled(covered, mask.shape, mask_boxes[i])
        if left.sum() < VISIBLE * mask.sum():
            continue
        keep.append(i)
        if left.sum() < mask.sum():
            crops[i], mask_boxes[i] = _trimmed(left, mask_boxes[i])
            limits = np.array(covered.shape[::-1] * 2, np.float32)
            boxes[i] = np.clip(mask_boxes[i], 0, limits)
    keypoints = sample.keypoints
    if keypoints is not None:
        columns, rows = (
            np.clip(keypoints[..., axis].astype(int), 0, covered.shape[1 - axis] - 1)
            for axis in (0, 1)
        )
        keypoints = keypoints.copy()
        hidden = covered[rows, columns] & (keypoints[..., 2] == 2)
        keypoints[..., 2] = np.where(hidden, 1, keypoints[..., 2])
    moved = replace(sample, boxes=boxes, mask_boxes=mask_boxes, crops=crops, keypoints=keypoints)
    return moved.take(np.array(keep, int))


def _sampled(covered: np.ndarray, shape: tuple[int, int], box: np.ndarray) -> np.ndarray:
    """Whether the centre of each pixel of a mask [h, w], lying on `box`, is covered."""
    columns, rows = (
        box[axis] + (np.arange(count) + 0.5) * (box[axis + 2] - box[axis]) / count
        for axis, count in enumerate(shape[::-1])
    )
    columns = np.clip(columns.astype(int), 0, covered.shape[1] - 1)
    rows = np.clip(rows.astype(int), 0, covered.shape[0] - 1)
    return covered[rows[:, None], columns]


def _trimmed(mask: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mask cut to its pixels, and the region that they lie on."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    cell = (box[2:] - box[:2]) / mask.shape[::-1]
    region = [*(box[:2] + cell * (left, top)), *(box[:2] + cell * (right, bottom))]
    return mask[top:bottom, left:right], np.array(region, np.float32)


def _cells(centres: np.ndarray, low: float, high: float, count: int) -> np.ndarray:
    return np.clip(((centres - low) / (high - low) * count).astype(int), 0, count - 1)
