"""Predictions in COCO's result format."""

import numpy as np

from mrcnn_tf.ops import masks_to_rle


def coco_results(
    prediction: dict[str, np.ndarray],
    image_id: int,
    category_ids: list[int],
    height: int,
    width: int,
    whole_pixels: bool = False,
) -> list[dict]:
    """One image's detections as COCO results, which `coco_metrics` and pycocotools read.

    Masks become run lengths without an image in between, so that 100 masks of a large photo take
    no more memory than one.

    Args:
        prediction: `boxes` `[D, 4]` in pixels of the image, `classes` `[D]`, `scores` `[D]` and,
            optionally, `masks` `[D, 28, 28]` probabilities, as `Predictor` returns them.
        image_id: the image's id in the dataset.
        category_ids: the dataset's own id of each class.
        height: height of the image in pixels.
        width: width of the image in pixels.
        whole_pixels: paste masks as torchvision does, see `mrcnn_tf.ops.paste_masks`; the
            `whole_pixel_masks` of the `Predictor`.

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
        encoded = masks_to_rle(prediction["masks"], boxes, height, width, whole_pixels=whole_pixels)
        for result, segmentation in zip(results, encoded, strict=True):
            result["segmentation"] = segmentation
    return results
