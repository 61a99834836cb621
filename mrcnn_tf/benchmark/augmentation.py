"""What each step of the augmentation costs beside decoding and resizing."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable

from mrcnn_tf.data import CocoDataset
from mrcnn_tf.data.augmentation import Augmentation
from mrcnn_tf.data.augmenter import Augmenter
from mrcnn_tf.data.sample_reader import SampleReader

# The first is what all others are compared with: decoding and resizing.
CASES = {
    "decoding and resizing": {},
    "flip, vertical_flip, transpose": {"flip": True, "vertical_flip": True, "transpose": True},
    "short_sides": {"short_sides": (640, 672, 704, 736, 768, 800)},
    "crop": {"crop": (0.5, 1.0)},
    "translation": {"translation": 0.1},
    "rotation": {"rotation": 15.0},
    "brightness, contrast": {"brightness": 0.4, "contrast": 0.4},
    "saturation": {"saturation": 0.4},
    "hue": {"hue": 0.1},
    "erasing": {"erasing": 1.0},
    "copy_paste": {"copy_paste": 1.0},
    "mosaic": {"mosaic": 1.0},
}


def time_augmentation(
    images: str | os.PathLike,
    annotations: str | os.PathLike,
    size: tuple[int, int] = (800, 1333),
    count: int = 32,
    rounds: int = 5,
    tell: Callable[[str], None] = lambda text: None,
) -> list[dict]:
    """Times the samples of the first images of a data set, step by step.

    The cases take turns, one image each, from the image file and without a cache, in one thread of
    Python; TensorFlow resizes with as many threads as it likes.

    Args:
        images: folder of the images.
        annotations: COCO annotation file.
        size: (short side, long side) images are resized to.
        count: images.
        rounds: how often each image is read.
        tell: is told which round begins.

    Returns:
        A dict for each of `CASES`: `case`, `milliseconds`, the median of all images and rounds,
        and `ratio` to that of the first.
    """
    dataset = CocoDataset(images, annotations, image_ids=count)
    loads = {case: _loader(dataset, settings, size) for case, settings in CASES.items()}
    seconds = {case: [] for case in CASES}
    for number in range(rounds + 1):  # the first one does not count
        tell(f"round {number}")
        for image_id in dataset.image_ids:
            for case, load in loads.items():
                started = time.perf_counter()
                load(image_id, number)
                if number:
                    seconds[case].append(time.perf_counter() - started)
    medians = {case: statistics.median(values) for case, values in seconds.items()}
    first = next(iter(medians.values()))
    return [
        {"case": case, "milliseconds": 1000 * median, "ratio": median / first}
        for case, median in medians.items()
    ]


def _loader(dataset: CocoDataset, settings: dict, size: tuple[int, int]) -> Callable:
    augmentation = Augmentation(**settings)
    read_size = None if augmentation.needs_original else size
    reader = SampleReader(dataset, read_size, max_objects=1000, cache=False)
    return Augmenter(reader.read, augmentation, dataset.image_ids, size, None, 0, 1000).load
