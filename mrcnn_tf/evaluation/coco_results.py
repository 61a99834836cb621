"""Predictions in COCO's result format."""

import numpy as np
from pycocotools import mask as mask_utils

from mrcnn_tf.models.predictor import mask_regions


def coco_results(
    prediction: dict[str, np.ndarray],
    image_id: int,
    category_ids: list[int],
    height: int,
    width: int,
) -> list[dict]:
    """One image's detections as COCO results, which `coco_metrics` and pycocotools read.

    Masks are pasted and run-length encoded one at a time, so that 100 masks of a large photo take
    no more memory than one.

    Args:
        prediction: `boxes` `[D, 4]` in pixels of the image, `classes` `[D]`, `scores` `[D]` and,
            optionally, `masks` `[D, 28, 28]` probabilities, as `Predictor` returns them.
        image_id: the image's id in the dataset.
        category_ids: the dataset's own id of each class.
        height: height of the image in pixels.
        width: width of the image in pixels.

    Returns:
        A list of dictionaries that `json` can write: `image_id`, `category_id`, `bbox`
        (x, y, width, height), `score` and, with masks, `segmentation` (compressed RLE).
    """
    boxes = prediction["boxes"]
    results = [
        {
            "image_id": image_id,
            "category_id": int(category_ids[class_index]),
            "bbox": [float(x1), float(y1), float(x2 - x1), float(y2 - y1)],
            "score": float(score),
        }
        for (x1, y1, x2, y2), class_index, score in zip(
            boxes, prediction["classes"], prediction["scores"], strict=True
        )
    ]
    if "masks" in prediction:
        regions = mask_regions(prediction["masks"], boxes, height, width)
        for result, (x, y, region) in zip(results, regions, strict=True):
            result["segmentation"] = encode_region(x, y, region, height, width)
    return results


def encode_region(x: int, y: int, region: np.ndarray, height: int, width: int) -> dict:
    """COCO's compressed run-length encoding of a mask that is empty outside a region.

    Equal to `pycocotools.mask.encode` of the whole mask, but the cost is that of the columns the
    region covers.

    Args:
        x: column of the region's left edge in the image.
        y: row of its upper edge.
        region: `[h, w]` of 0 and 1.
        height: height of the image in pixels.
        width: width of the image in pixels.

    Returns:
        `{"size": [height, width], "counts": str}`.
    """
    columns = np.zeros((region.shape[1], height), np.uint8)
    columns[:, y : y + region.shape[0]] = region.T
    # Runs go down the columns, and every second one, starting with the first, is background.
    ends = np.flatnonzero(np.diff(columns.ravel(), prepend=0, append=0)) + x * height
    counts = np.diff(ends, prepend=0, append=height * width)
    if len(counts) > 1 and counts[-1] == 0:
        counts = counts[:-1]
    encoded = mask_utils.frPyObjects(
        {"size": [height, width], "counts": counts.tolist()}, height, width
    )
    return {"size": [height, width], "counts": encoded["counts"].decode("ascii")}
