"""What `coco` refuses of its arguments, and what it makes of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from mrcnn_tf.data.augmentation import Augmentation
from mrcnn_tf.data.coco_dataset import CocoDataset
from mrcnn_tf.data.records import RecordDataset
from mrcnn_tf.ops.resize_image import resized_shape


def checked_size(size: int | tuple[int, int]) -> tuple[int, int]:
    sides = (size, size) if isinstance(size, int) else tuple(int(side) for side in size)
    if len(sides) != 2 or sides[0] < 1 or sides[1] < sides[0]:
        raise ValueError(
            f"size must be (short side, long side) with short <= long, or one int, got {size}"
        )
    return sides


def checked_shard(shard: tuple[int, int]) -> tuple[int, int]:
    index, count = (int(number) for number in shard)
    if not 0 <= index < count:
        raise ValueError(f"shard must be (index, count) with 0 <= index < count, got {shard}")
    return index, count


def checked_boundaries(
    bucket_by_aspect_ratio: bool | Sequence[float], pad_to: tuple[int, int] | None
) -> tuple[float, ...]:
    if bucket_by_aspect_ratio is False:
        return ()
    if pad_to is not None:
        raise ValueError(
            f"with pad_to={pad_to} all batches have one shape, so bucket_by_aspect_ratio would "
            "change nothing; leave one of them out"
        )
    if bucket_by_aspect_ratio is True:
        return (1.0,)
    boundaries = tuple(float(boundary) for boundary in bucket_by_aspect_ratio)
    increasing = all(a < b for a, b in itertools.pairwise((0.0, *boundaries, math.inf)))
    if not boundaries or not increasing:
        raise ValueError(
            "bucket_by_aspect_ratio must be True or increasing, positive boundaries of width / "
            f"height, got {bucket_by_aspect_ratio}"
        )
    return boundaries


def check_arguments(
    batch_size, max_objects, mask_size, seed, initial_epoch, initial_step, repeat
) -> None:
    limits = {
        "batch_size": (batch_size, 1),
        "max_objects": (1 if max_objects is None else max_objects, 1),
        "mask_size": (1 if mask_size is None else mask_size, 1),
        "seed": (seed, 0),
        "initial_epoch": (initial_epoch, 0),
        "initial_step": (initial_step, 0),
        "repeat": (1 if isinstance(repeat, bool) else repeat, 1),
    }
    for name, (value, lowest) in limits.items():
        if not isinstance(value, int | np.integer) or value < lowest:
            raise ValueError(f"{name} must be an integer of at least {lowest}, got {value!r}")


def checked_canvas(
    dataset: CocoDataset | RecordDataset,
    ids: list[int],
    size: tuple[int, int],
    pad_to: tuple[int, int],
    augmentation: Augmentation,
    image_resize: str,
) -> tuple[int, int]:
    canvas = tuple(int(side) for side in pad_to)
    if len(canvas) != 2 or min(canvas) < 1:
        raise ValueError(f"pad_to must be (height, width) in pixels, got {pad_to}")
    if augmentation.cuts:
        return canvas
    size = max(augmentation.short_sides or size[:1]), size[1]
    for image_id in ids:
        shape = resized_shape(*dataset.size(image_id), *size, image_resize)
        for height, width in (shape, shape[::-1])[: 1 + augmentation.transpose]:
            if height > canvas[0] or width > canvas[1]:
                raise ValueError(
                    f"image {dataset.path(image_id)} (id {image_id}) is {height} x {width} (height "
                    f"x width) when resized to {size}, which does not fit pad_to={canvas}. Make "
                    "pad_to larger, or the size smaller"
                )
    return canvas
