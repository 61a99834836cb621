"""Batches of training data drawn: the objects that a model is given to learn."""

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from mrcnn_tf.data.instance_masks import paint_crop, unpack_crops
from mrcnn_tf.visualize.draw_instances import draw_instances


def draw_batch(
    x: Mapping[str, object],
    y: Mapping[str, object],
    class_names: list[str] | None = None,
    skeleton: Sequence[tuple[int, int]] | None = None,
    keypoint_names: Sequence[str] | None = None,
    longest_side: int | None = None,
    **options,
) -> list[Image.Image]:
    """Draws the images of a batch with their boxes, masks and joints, padding left out.

    Args:
        x: inputs as `mrcnn_tf.data.coco` gives them, tensors or arrays.
        y: targets likewise.
        class_names: for the labels, `batches.source.class_names`.
        skeleton: pairs of joints, `batches.source.keypoint_skeleton`.
        keypoint_names: `batches.source.keypoint_names`.
        longest_side: pixels that larger images are brought to; lines and text keep their size.
        **options: as for `draw_instances`: `alpha`, `boxes`, `labels`.

    Returns:
        One RGB image for each of the batch.

    Example:

    ```python
    batches = mrcnn_tf.data.coco("images", "annotations/train.json", 4, flip=True, rotation=10)
    x, y = next(iter(batches))
    draw_batch(x, y, batches.source.class_names)[0].save("first.png")
    ```
    """
    x, y = ({name: np.asarray(value) for name, value in part.items()} for part in (x, y))
    options |= {"skeleton": skeleton, "keypoint_names": keypoint_names}
    pictures = []
    for row, (height, width) in enumerate(x["image_sizes"].tolist()):
        image = Image.fromarray(x["images"][row, :height, :width].astype(np.uint8))
        scale = min(1.0, (longest_side or np.inf) / max(height, width))
        size = max(round(width * scale), 1), max(round(height * scale), 1)
        objects = {name: value[row] for name, value in y.items()}
        truth = _truth(objects, size, np.float32([size[0] / width, size[1] / height]))
        pictures.append(draw_instances(image.resize(size), truth, class_names, **options))
    return pictures


def _truth(
    objects: dict[str, np.ndarray], size: tuple[int, int], factors: np.ndarray
) -> dict[str, np.ndarray]:
    """What `draw_instances` takes, of the objects of one image in a picture of another size."""
    count = int((objects["classes"] >= 0).sum())
    truth = {
        "boxes": objects["boxes"][:count] * np.tile(factors, 2),
        "classes": objects["classes"][:count],
    }
    if "masks" in objects:
        crops = unpack_crops(objects["masks"], objects["mask_shapes"][:count])
        masks = np.zeros([count, *size[::-1]], bool)
        for canvas, crop, region in zip(masks, crops, objects["mask_boxes"], strict=False):
            if crop is not None:
                paint_crop(crop, region * np.tile(factors, 2), canvas)
        truth["image_masks"] = masks
    if "keypoints" in objects:
        truth["keypoints"] = objects["keypoints"][:count] * [*factors, 1]
    return truth
