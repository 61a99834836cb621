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
            optionally, `masks` `[D, 28, 28]` probabilities and `keypoints` `[D, K, 3]`, as
            `Predictor` returns them.
        image_id: the image's id in the dataset.
        category_ids: the dataset's own id of each class.
        height: height of the image in pixels.
        width: width of the image in pixels.
        whole_pixels: paste masks as torchvision does, see `mrcnn_tf.ops.paste_masks`; the
            `whole_pixel_masks` of the `Predictor`.

    Returns:
        A list of dictionaries that `json` can write: `image_id`, `category_id`, `bbox`
        (x, y, width, height), `score`, with masks `segmentation` (compressed RLE), and with joints
        `keypoints` (x, y, the joint's score, of the first joint, the second, ...). As COCO counts
        pixels of joints from 0, half a pixel is taken off; Detectron2 does the same. The joints of
        a class that has none are 0.
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
    if "keypoints" in prediction:
        # COCO states the pixel that a joint is in; its centre is half a pixel further in.
        joints = np.asarray(prediction["keypoints"], np.float64)
        pixels = np.where(joints.any(axis=(1, 2), keepdims=True), joints - [0.5, 0.5, 0], 0)
        for result, keypoints in zip(results, pixels, strict=True):
            result["keypoints"] = keypoints.ravel().tolist()
    return results
