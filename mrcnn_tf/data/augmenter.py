"""`Augmenter`: the sample of an image as a training sees it in an epoch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from mrcnn_tf.data.augmentation import (
    COLOR,
    ERASING,
    MIXING,
    PASTING,
    Augmentation,
    Choices,
    draw,
    random_stream,
)
from mrcnn_tf.data.color import erase, jitter_color
from mrcnn_tf.data.copy_paste import copy_paste
from mrcnn_tf.data.mosaic import mosaic
from mrcnn_tf.data.place import place
from mrcnn_tf.data.sample import Sample
from mrcnn_tf.data.sample_reader import largest_objects
from mrcnn_tf.ops.resize_image import resized_shape


class Augmenter:
    """Reads an image and makes the random changes of an epoch.

    Other images are put into an image after each of them has been brought to its place, so every
    pixel is resampled once; then colours are changed, and at last a rectangle is erased. Which
    images are put together is a function of seed, epoch and image id as well.

    Args:
        read: gives the sample of an image id, or None where it is unusable; at its own size if the
            augmentation `needs_original`, else resized.
        augmentation: what is switched on.
        image_ids: images that are put into others.
        size: (short side, long side) images are resized to.
        canvas: (height, width) to cut to, or None.
        seed: of all choices.
        max_objects: how many objects are kept, see `mrcnn_tf.data.coco`.
        image_resize: see `mrcnn_tf.ops.resize_image`.
    """

    def __init__(
        self,
        read: Callable[[int], Sample | None],
        augmentation: Augmentation,
        image_ids: Sequence[int],
        size: tuple[int, int],
        canvas: tuple[int, int] | None,
        seed: int,
        max_objects: int,
        image_resize: str = "antialias",
    ):
        self._read = read
        self._augmentation = augmentation
        self._image_ids = image_ids
        self._size = size
        self._canvas = canvas
        self._seed = seed
        self._max_objects = max_objects
        self._image_resize = image_resize

    def load(self, image_id: int, epoch: int) -> Sample | None:
        """The sample of an image in an epoch, None where it cannot be read."""
        sample = self._read(image_id)
        if sample is None:
            return None
        augmentation, key = self._augmentation, (self._seed, epoch, image_id)
        numbers = random_stream(MIXING, *key)
        values, partners = numbers.random(4), numbers.integers(len(self._image_ids), size=4)
        if values[0] < augmentation.mosaic:
            sample = self._mosaic(sample, key, partners[:3], (values[1], values[2]))
        else:
            sample = self._placed(sample, draw(augmentation, *key))
        if values[3] < augmentation.copy_paste:
            partner = self._partner(partners[3])
            if partner is not None:
                partner = self._placed(partner, draw(augmentation, *key, partner=4))
                sample = copy_paste(sample, partner, random_stream(PASTING, *key), self._canvas)
        if sample.visible is not None:
            enough = sample.visible >= augmentation.min_visible
            # without its mark, what is left of a crowd would be taught as background
            sample = sample.take(np.flatnonzero(enough | sample.is_crowd))
        sample = sample.take(largest_objects(sample, self._max_objects))
        if any(augmentation.colors):
            image = jitter_color(sample.image, random_stream(COLOR, *key), *augmentation.colors)
            sample = replace(sample, image=image)
        numbers = random_stream(ERASING, *key)
        if numbers.random() < augmentation.erasing:
            sample = replace(sample, image=erase(sample.image, numbers))
        return sample

    def _partner(self, index: int) -> Sample | None:
        return self._read(int(self._image_ids[index]))

    def _placed(self, sample: Sample, choices: Choices) -> Sample:
        size = self._drawn_size(choices) if self._augmentation.needs_original else None
        return place(sample, choices, size, self._canvas, self._image_resize)

    def _drawn_size(self, choices: Choices) -> tuple[int, int]:
        if choices.short_side is not None:
            return choices.short_side, max(choices.short_side, self._size[1])
        short, long = (max(round(side * choices.scale), 1) for side in self._size)
        return short, long

    def _mosaic(self, sample: Sample, key, partners, centre: tuple[float, float]) -> Sample:
        samples = [sample, *(self._partner(index) or sample for index in partners)]
        choices = [draw(self._augmentation, *key, partner=number) for number in range(4)]
        shape = self._canvas
        if shape is None:
            size = self._drawn_size(choices[0])
            shape = resized_shape(*sample.image.shape[:2], *size, self._image_resize)
            shape = shape[::-1] if choices[0].transpose else shape
        return mosaic(samples, choices, centre, shape, self._image_resize)
