"""Polygons to bitmaps of an image, or of the boxes that a mask head looks at."""

import itertools
from collections.abc import Sequence

import numpy as np
from pycocotools import mask as mask_utils

from mrcnn_tf.ops.implementation import compiled_kernels

_FARTHEST = 2.0**22  # pixels; beyond it pycocotools would leave int32


def rasterize_polygons(
    polygons: Sequence[Sequence[Sequence[float]]],
    height: int,
    width: int,
    boxes: np.ndarray | None = None,  # [N, 4]
) -> np.ndarray:
    """Draws objects, each a union of polygons, with the very pixels that pycocotools sets.

    With `boxes` each object is drawn straight into a `height` x `width` grid that spans its box:
    the binary target of a mask head, at no loss from a bitmap in between. Without, the grid is the
    image.

    A polygon of fewer than three points, or with a coordinate that is not finite, is left out; an
    object without any gives zeros, and so does a box that is not finite. A box measures at least
    0.1 px. Coordinates farther than 2²² px from the grid are moved to that distance.

    Args:
        polygons: for each object a list of polygons, each a flat list x, y, x, y, ... in pixels
            of the image, as in COCO's `segmentation`.
        height: rows of the result.
        width: columns of the result.
        boxes: `[N, 4]` as x1, y1, x2, y2 in pixels.

    Returns:
        `[N, height, width]` uint8 of 0 and 1.

    Raises:
        ValueError: a polygon is not a list of pairs of numbers, or boxes do not fit.

    Source: pycocotools' `frPyObjects`, `merge` and `decode`; with boxes, Detectron2's
    `rasterize_polygons_within_box`.

    Example:

    ```python
    import numpy as np
    from mrcnn_tf.ops import rasterize_polygons

    triangle = [[10.0, 10.0, 50.0, 10.0, 30.0, 40.0]]
    rasterize_polygons([triangle], 60, 60).sum()
    rasterize_polygons([triangle], 28, 28, np.array([[10.0, 10.0, 50.0, 40.0]])).shape
    ```
    """
    height, width = int(height), int(width)
    rows = [[_points(i, polygon) for polygon in parts] for i, parts in enumerate(polygons)]
    if boxes is not None:
        boxes = np.ascontiguousarray(boxes, np.float32)
        if boxes.shape != (len(rows), 4):
            raise ValueError(f"boxes must be {(len(rows), 4)} as polygons tell, got {boxes.shape}")
    kernels = compiled_kernels()
    if kernels is None:
        return _plain(rows, height, width, boxes)
    flat = [polygon for parts in rows for polygon in parts]
    return kernels.rasterize_polygons(
        np.concatenate([np.zeros((0, 2)), *flat]),
        _splits(len(polygon) for polygon in flat),
        _splits(len(parts) for parts in rows),
        height,
        width,
        boxes,
    )


def _splits(sizes) -> np.ndarray:
    return np.array([0, *itertools.accumulate(sizes)], np.int64)


def _points(index: int, polygon: Sequence[float]) -> np.ndarray:
    """One polygon as float64 [P, 2]."""
    try:
        values = np.asarray(polygon, np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"polygons[{index}] holds something that is not a number") from error
    if values.ndim != 1 or values.size % 2:
        raise ValueError(
            f"polygons[{index}] must hold flat lists x, y, x, y, ..., got shape {values.shape}"
        )
    return values.reshape(-1, 2)


def _plain(rows, height, width, boxes):
    """The twin: pycocotools, one object at a time."""
    bitmaps = np.zeros((len(rows), height, width), np.uint8)
    for i, parts in enumerate(rows):
        if boxes is not None and not np.isfinite(boxes[i]).all():
            continue
        moved = []
        for points in parts:
            if len(points) < 3 or not np.isfinite(points).all():
                continue
            if boxes is not None:
                low, high = boxes[i].astype(np.float64).reshape(2, 2)
                factor = np.array([width, height]) / np.maximum(high - low, 0.1)
                points = (points - low) * factor
            moved.append(np.clip(points, -_FARTHEST, _FARTHEST).reshape(-1).tolist())
        if moved and bitmaps[i].size:
            run_lengths = mask_utils.frPyObjects(moved, height, width)
            bitmaps[i] = mask_utils.decode(mask_utils.merge(run_lengths))
    return bitmaps
