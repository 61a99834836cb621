"""Which random changes are made to images, and what is drawn for one image in one epoch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# What a stream of random numbers is for, so that none is used twice. 2 is the order of an epoch.
GEOMETRY, COLOR, ERASING, MIXING, PASTING = 1, 3, 4, 5, 6

_PROBABILITIES = ("erasing", "copy_paste", "mosaic")
_STRENGTHS = ("rotation", "brightness", "contrast", "saturation")


@dataclass(frozen=True)
class Augmentation:
    """Which random changes are made, each flip with probability 0.5. Defaults make none.

    Attributes:
        flip: mirror left to right.
        vertical_flip: mirror top to bottom.
        transpose: swap x and y.
        scale_jitter: (lowest, highest) factor on the size an image is resized to, drawn uniformly.
        short_sides: short sides that images are resized to, one of which is drawn for each.
        crop: (lowest, highest) part of an image's height and of its width, drawn one by one, that
            is cut out at a random position before the image is resized.
        rotation: largest angle in degrees, to either side.
        translation: largest shift in parts of width and height, to either side.
        brightness, contrast, saturation: largest change of a factor of 1.
        hue: largest change in parts of the colour circle, at most 0.5.
        erasing: probability that a rectangle of the image is overwritten.
        copy_paste: probability that objects of another image are pasted.
        mosaic: probability that four images are put together.
        min_visible: objects of which crops and other objects leave less than this part are left
            out; 0 keeps whatever is in sight.

    Raises:
        ValueError: a value out of its range.
    """

    flip: bool = False
    vertical_flip: bool = False
    transpose: bool = False
    scale_jitter: tuple[float, float] | None = None
    short_sides: Sequence[int] | None = None
    crop: tuple[float, float] | None = None
    rotation: float = 0.0
    translation: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    erasing: float = 0.0
    copy_paste: float = 0.0
    mosaic: float = 0.0
    min_visible: float = 0.1

    def __post_init__(self):
        self._check_range("scale_jitter", math.inf)
        self._check_range("crop", 1.0)
        limits = dict.fromkeys(_PROBABILITIES, 1.0) | dict.fromkeys(_STRENGTHS, math.inf)
        limits |= {"rotation": 180.0, "translation": 1.0, "hue": 0.5, "min_visible": 1.0}
        for name, limit in limits.items():
            value = getattr(self, name)
            if not 0 <= value <= limit or not math.isfinite(value):
                raise ValueError(f"{name} must be between 0 and {limit:g}, got {value}")
        if self.short_sides is not None:
            if self.scale_jitter is not None:
                raise ValueError("short_sides and scale_jitter both decide the size; give one")
            if not len(self.short_sides) or min(self.short_sides) < 1:
                raise ValueError(f"short_sides must be positive, got {self.short_sides}")

    @property
    def needs_original(self) -> bool:
        """Whether images must be read at their own size, as the new one or an angle is drawn."""
        sizes = (self.scale_jitter, self.short_sides, self.crop)
        return any(size is not None for size in sizes) or self.rotation > 0 or self.mosaic > 0

    @property
    def most_images(self) -> int:
        """How many images are put together to one at most."""
        return (4 if self.mosaic else 1) + (1 if self.copy_paste else 0)

    @property
    def cuts(self) -> bool:
        """Whether an image may come out in another shape than it has when it is resized."""
        return self.scale_jitter is not None or self.crop is not None

    @property
    def colors(self) -> tuple[float, float, float, float]:
        """Brightness, contrast, saturation and hue, in this order."""
        return self.brightness, self.contrast, self.saturation, self.hue

    def _check_range(self, name: str, limit: float) -> None:
        if getattr(self, name) is None:
            return
        low, high = (float(value) for value in getattr(self, name))
        if not 0 < low <= high <= limit or high == math.inf:
            bound = "" if limit == math.inf else f" <= highest <= {limit:g}"
            raise ValueError(
                f"{name} must be (lowest, highest) with 0 < lowest{bound}, "
                f"got {getattr(self, name)}"
            )


@dataclass(frozen=True)
class Choices:
    """What was drawn for the places of one image in one epoch.

    Attributes:
        flip, vertical_flip, transpose: whether it is done.
        scale: factor on the size.
        crop: position 0..1 in x and in y at which a larger image is cut to the canvas.
        short_side: the size's short side, None for that of the size itself.
        part: height, width (0..1) and position 0..1 in x and y of what is cut out first, or None.
        angle: degrees clockwise.
        shift: in parts of width and height.
    """

    flip: bool
    vertical_flip: bool
    transpose: bool
    scale: float
    crop: tuple[float, float]
    short_side: int | None = None
    part: tuple[float, float, float, float] | None = None
    angle: float = 0.0
    shift: tuple[float, float] = (0.0, 0.0)


def random_stream(
    purpose: int, seed: int, epoch: int, image_id: int, *more: int
) -> np.random.Generator:
    """Random numbers for one purpose, a function of its arguments alone."""
    return np.random.default_rng([purpose, seed, epoch, image_id % 2**63, *more])


def draw(
    augmentation: Augmentation, seed: int, epoch: int, image_id: int, partner: int = 0
) -> Choices:
    """Draws the random choices of an image in an epoch, a function of its arguments alone.

    All numbers are drawn whatever is switched on, so that switching one change on leaves the
    others as they were.

    Args:
        augmentation: what is switched on.
        seed: of the data.
        epoch: number of the epoch.
        image_id: the image.
        partner: 0 for the image itself, n for the n-th that is put together with it.
    """
    numbers = random_stream(GEOMETRY, seed, epoch, image_id, *([partner] if partner else []))
    values = numbers.random(14).tolist()
    low, high = augmentation.scale_jitter or (1.0, 1.0)
    sides = augmentation.short_sides
    smallest, largest = augmentation.crop or (1.0, 1.0)
    sizes = [smallest + (largest - smallest) * value for value in values[7:9]]
    around = [2 * value - 1 for value in values[11:]]
    return Choices(
        flip=augmentation.flip and values[0] < 0.5,
        vertical_flip=augmentation.vertical_flip and values[1] < 0.5,
        transpose=augmentation.transpose and values[2] < 0.5,
        scale=low + (high - low) * values[3],
        crop=(values[4], values[5]),
        short_side=None if sides is None else int(sides[int(values[6] * len(sides))]),
        part=None if augmentation.crop is None else (*sizes, values[9], values[10]),
        angle=augmentation.rotation * around[0],
        shift=(augmentation.translation * around[1], augmentation.translation * around[2]),
    )
