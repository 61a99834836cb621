"""Instance masks as crops: decoding COCO segmentations, packing to bits, resampling.

A crop is the tight integer extent of one object's own mask at the resolution of the annotation,
so nothing is lost and 100 large objects of a 640 x 480 photo take 3.8 MB instead of 31 MB (bytes)
or 123 MB (float32).
"""

from __future__ import annotations

import math

import numpy as np
from pycocotools import mask as coco_mask

Crop = tuple[np.ndarray, tuple[int, int, int, int]]


def decode_crop(segmentation: list | dict, height: int, width: int) -> Crop | None:
    """Decodes a COCO segmentation to the crop that holds its pixels.

    Args:
        segmentation: polygons (a list of flat [x, y, x, y, ...] lists), uncompressed run lengths
            (`counts` is a list) or compressed ones (`counts` is a string), as pycocotools reads
            them. A polygon of fewer than three points is left out, as in Detectron2.
        height: height of the image in pixels.
        width: width of the image in pixels.

    Returns:
        (bool [h, w], (x1, y1, x2, y2)) with x2 - x1 == w, or None if no pixel is set.

    Raises:
        ValueError: the segmentation is malformed or made for an image of another size.

    Example:

    >>> crop, box = decode_crop([[2, 1, 5, 1, 5, 3, 2, 3]], height=10, width=10)
    >>> crop.shape, box
    ((2, 3), (2, 1, 5, 3))
    """
    run_lengths = _run_lengths(segmentation, height, width)
    if run_lengths is None:
        return None
    try:
        mask = coco_mask.decode(run_lengths)
    except ValueError as error:
        raise ValueError(f"run lengths cannot be decoded ({error})") from error
    x, y, w, h = (int(v) for v in coco_mask.toBbox(run_lengths))
    # pycocotools counts runs of length zero into the extent
    found = tight_crop(mask[y : y + h, x : x + w])
    if found is None:
        return None
    crop, (left, top, right, bottom) = found
    crop = np.ascontiguousarray(crop).astype(bool)
    return crop, (x + left, y + top, x + right, y + bottom)


def tight_crop(mask: np.ndarray) -> Crop | None:
    """The part of a mask [H, W] that holds its pixels, and where that is; None without pixels."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        return None
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    left, right = int(columns[0]), int(columns[-1]) + 1
    return mask[top:bottom, left:right], (left, top, right, bottom)


def tighten(crop: np.ndarray, region: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """A crop without empty rows and columns at its edges, and its region; None without pixels.

    Args:
        crop: bool [h, w].
        region: [x1, y1, x2, y2], what the crop covers.
    """
    found = tight_crop(crop)
    if found is None:
        return None
    x1, y1, x2, y2 = region.astype(np.float64).tolist()
    cell = np.array([(x2 - x1) / crop.shape[1], (y2 - y1) / crop.shape[0]] * 2)
    return found[0], (found[1] * cell + (x1, y1, x1, y1)).astype(np.float32)


def paint_crop(crop: np.ndarray, region: np.ndarray, canvas: np.ndarray) -> None:
    """Sets the pixels of a bool [H, W] canvas whose centres are under a crop's pixels.

    Args:
        crop: bool [h, w].
        region: [x1, y1, x2, y2] in pixels of the canvas, what the crop covers.
        canvas: changed in place.
    """
    x1, y1, x2, y2 = (float(value) for value in region)
    rows, row_of = _centres(y1, y2, crop.shape[0], canvas.shape[0])
    columns, column_of = _centres(x1, x2, crop.shape[1], canvas.shape[1])
    canvas[rows, columns] |= crop[row_of][:, column_of]


def _centres(start: float, stop: float, cells: int, pixels: int) -> tuple[slice, np.ndarray]:
    """The pixels whose centres are between `start` and `stop`, and the cell that each is in."""
    first = max(math.ceil(start - 0.5), 0)
    last = max(min(math.ceil(stop - 0.5), pixels), first)
    cell = (np.arange(first, last) + 0.5 - start) * cells / (stop - start)
    return slice(first, last), np.clip(cell.astype(int), 0, cells - 1)


def pack_crops(crops: list[np.ndarray | None]) -> tuple[np.ndarray, np.ndarray]:
    """Packs crops to bits, eight pixels a byte.

    Args:
        crops: bool [h, w] each, or None for an object without a mask.

    Returns:
        uint8 [L], every crop flattened row by row and packed (`numpy.packbits`), each from a byte
        boundary on; int32 [N, 2], height and width of each crop, (0, 0) for None.
    """
    shapes = np.array([(0, 0) if c is None else c.shape for c in crops], np.int32).reshape(-1, 2)
    packed = [np.packbits(c) for c in crops if c is not None]
    return (np.concatenate(packed) if packed else np.zeros(0, np.uint8)), shapes


def unpack_crops(packed: np.ndarray, shapes: np.ndarray) -> list[np.ndarray | None]:
    """The inverse of `pack_crops`; bytes behind the last crop are ignored.

    Args:
        packed: uint8 [L].
        shapes: int [N, 2], height and width of each crop.

    Returns:
        bool [h, w] for each row of `shapes`, None where it is (0, 0).
    """
    crops: list[np.ndarray | None] = []
    start = 0
    for height, width in shapes.tolist():
        if height * width == 0:
            crops.append(None)
            continue
        stop = start + (height * width + 7) // 8
        bits = np.unpackbits(packed[start:stop], count=height * width)
        crops.append(bits.reshape(height, width).view(bool))
        start = stop
    return crops


def resample_crop(crop: np.ndarray, side: int) -> np.ndarray:
    """Resamples bool [h, w] to bool [side, side]: bilinear (area-weighted when shrinking), >= 0.5.

    A mask too thin to reach 0.5 anywhere keeps its strongest pixels.
    """
    from PIL import Image

    image = Image.fromarray(crop.astype(np.float32))
    resampled = np.asarray(image.resize((side, side), Image.Resampling.BILINEAR))
    return resampled >= min(0.5, resampled.max())


def _run_lengths(segmentation: list | dict, height: int, width: int) -> dict | None:
    """The segmentation as one compressed pycocotools dict, None if it holds no usable polygon."""
    if isinstance(segmentation, dict):
        return _checked_run_lengths(segmentation, height, width)
    if not isinstance(segmentation, list):
        raise ValueError(
            f"segmentation is a {type(segmentation).__name__}, not polygons or run lengths"
        )
    if not all(isinstance(polygon, list) for polygon in segmentation):
        raise ValueError("segmentation is not a list of polygons (a list of lists of numbers)")
    # four numbers would be read as a box by pycocotools
    polygons = [p for p in segmentation if len(p) >= 6 and len(p) % 2 == 0]
    if not polygons:
        return None
    try:
        finite = all(math.isfinite(value) for polygon in polygons for value in polygon)
    except TypeError as error:
        raise ValueError("a polygon holds something that is not a number") from error
    if not finite:
        raise ValueError("a polygon holds a coordinate that is not finite")
    return coco_mask.merge(coco_mask.frPyObjects(polygons, height, width))


def _checked_run_lengths(segmentation: dict, height: int, width: int) -> dict:
    size, counts = segmentation.get("size"), segmentation.get("counts")
    if not isinstance(size, list | tuple) or list(size) != [height, width]:
        raise ValueError(
            f"run lengths are for [height, width] {size}, the image is {[height, width]}"
        )
    if isinstance(counts, list):
        if not all(isinstance(c, int) and c >= 0 for c in counts) or sum(counts) != height * width:
            raise ValueError(f"run lengths do not add up to {height} x {width} pixels")
        return coco_mask.frPyObjects(segmentation, height, width)
    if not isinstance(counts, str | bytes):
        raise ValueError("run lengths have no `counts`")
    return {"size": [height, width], "counts": counts}
