"""From image ids to padded batches: parallel loading, padding."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from mrcnn_tf.data.instance_masks import pack_crops
from mrcnn_tf.data.program_end import until_program_ends
from mrcnn_tf.data.sample import Sample

MULTIPLE = 32  # the coarsest stride of the backbone's feature maps

_INPUTS = ("images", "image_sizes")
_TYPES = {
    "images": tf.uint8,
    "image_sizes": tf.int32,
    "boxes": tf.float32,
    "classes": tf.int32,
    "is_crowd": tf.bool,
    "image_id": tf.int64,
    "masks": tf.uint8,
    "mask_shapes": tf.int32,
    "mask_boxes": tf.float32,
}


def batched(
    stream: tf.data.Dataset,
    load: Callable[[int, int], Sample | None],
    batch_size: int,
    drop_remainder: bool,
    max_objects: int,
    canvas: tuple[int, int] | None,
    keypoints: int = 0,
) -> tf.data.Dataset:
    """Loads the images of a stream in parallel and batches them as (x, y), see `coco`.

    Args:
        stream: dataset of (image id, epoch).
        load: gives the sample, or None to leave the image out.
        batch_size: images a batch.
        drop_remainder: leave out a smaller last batch.
        max_objects: number of objects each image is padded to.
        canvas: (height, width) images are padded to, or None for the largest of the batch.
        keypoints: number of joints of an object, 0 where they are not read.
    """
    types = _TYPES | ({"keypoints": tf.float32} if keypoints else {})
    shapes = {
        "images": [*(canvas or (None, None)), 3],
        "image_sizes": [2],
        "boxes": [max_objects, 4],
        "classes": [max_objects],
        "is_crowd": [max_objects],
        "image_id": [],
        "masks": [None],
        "mask_shapes": [max_objects, 2],
        "mask_boxes": [max_objects, 4],
    }
    if keypoints:
        shapes["keypoints"] = [max_objects, keypoints, 3]

    def arrays(sample: Sample, usable: bool) -> list[np.ndarray]:
        fields = padded_fields(sample, max_objects, canvas)
        return [*(fields[name] for name in types), np.array(usable)]

    def loaded(image_id: np.ndarray, epoch: np.ndarray) -> list[np.ndarray]:
        sample = load(int(image_id), int(epoch))
        return arrays(_blank(keypoints), False) if sample is None else arrays(sample, True)

    def blank(*_: np.ndarray) -> list[np.ndarray]:
        return arrays(_blank(keypoints), True)

    read = until_program_ends(loaded, at_the_end=blank)

    def element(image_id: tf.Tensor, epoch: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        *fields, usable = tf.numpy_function(read, [image_id, epoch], [*types.values(), tf.bool])
        for field, name in zip(fields, types, strict=True):
            field.set_shape(shapes[name])
        usable.set_shape([])
        return dict(zip(types, fields, strict=True)), usable

    elements = stream.map(element, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    usable = elements.filter(lambda _, is_usable: is_usable).map(_first)
    batches = usable.padded_batch(batch_size, shapes, drop_remainder=drop_remainder)
    return batches.map(_inputs_and_targets)


def _first(fields: dict[str, tf.Tensor], _: tf.Tensor) -> dict[str, tf.Tensor]:
    return fields


def _inputs_and_targets(
    fields: dict[str, tf.Tensor],
) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
    inputs = {name: fields[name] for name in _INPUTS}
    return inputs, {name: fields[name] for name in fields if name not in _INPUTS}


def padded_fields(
    sample: Sample, max_objects: int, canvas: tuple[int, int] | None
) -> dict[str, np.ndarray]:
    """The fields of one element: objects padded to `max_objects`, the image to the canvas.

    Without a canvas the image is padded to multiples of 32, so that the largest image of a batch
    has them too.
    """
    height, width = sample.image.shape[:2]
    rows, columns = canvas or (-(-height // MULTIPLE) * MULTIPLE, -(-width // MULTIPLE) * MULTIPLE)
    image = np.zeros((rows, columns, 3), np.uint8)
    image[:height, :width] = sample.image
    masks, mask_shapes = pack_crops(sample.crops)

    def objects(values: np.ndarray, padding: int = 0) -> np.ndarray:
        padded = np.full((max_objects, *values.shape[1:]), padding, values.dtype)
        padded[: len(values)] = values
        return padded

    fields = {
        "images": image,
        "image_sizes": np.array([height, width], np.int32),
        "boxes": objects(sample.boxes),
        "classes": objects(sample.classes, padding=-1),
        "is_crowd": objects(sample.is_crowd),
        "image_id": np.array(sample.image_id, np.int64),
        "masks": masks,
        "mask_shapes": objects(mask_shapes),
        "mask_boxes": objects(sample.mask_boxes),
    }
    if sample.keypoints is not None:
        fields["keypoints"] = objects(sample.keypoints)
    return fields


def _blank(keypoints: int) -> Sample:
    no_boxes = np.zeros((0, 4), np.float32)
    return Sample(
        image=np.zeros((1, 1, 3), np.uint8),
        image_id=0,
        boxes=no_boxes,
        classes=np.zeros(0, np.int32),
        is_crowd=np.zeros(0, bool),
        crops=[],
        mask_boxes=no_boxes,
        keypoints=np.zeros((0, keypoints, 3), np.float32) if keypoints else None,
    )
