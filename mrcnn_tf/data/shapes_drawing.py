"""Outlines, textures and grounds of the generated scenes, drawn anti-aliased with NumPy.

Everything is float32 and uses only operations that IEEE 754 rounds exactly (no array-wide sine,
exponential, dot product or float sum), so that a scene has the same pixels on every platform.
A point (x, y) is continuous: the centre of the top left pixel is (0.5, 0.5). While a scene is drawn
its colours come first, [3, h, w], and one colour is [3, 1, 1]: several times as fast in NumPy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mrcnn_tf.data.shapes_random import RandomStream

SHAPE_NAMES = ("disc", "rectangle", "triangle", "star", "cross", "ring")
PATTERNS = ("stripes", "checks", "dots", "noise", "gradient")

CROSS_ARM = 0.34  # half the width of an arm of the cross, in units of its half length
RING_BAND = 0.21  # half the thickness of the ring, in units of its radius: the hole is 0.58 wide


Colours = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass
class Sprite:
    """One object, complete, before it is put into a scene.

    Attributes:
        name: category name.
        size: longer side of its box in pixels.
        alpha: float32 [h, w], coverage 0..1.
        colour: float32 [3, h, w], 0..255.
        joints: float64 [17, 2], x and y in the sprite, or None.
        joint_shown: bool [17], False where another part of the figure covers the joint, or None.
    """

    name: str
    size: float
    alpha: np.ndarray
    colour: np.ndarray
    joints: np.ndarray | None = None
    joint_shown: np.ndarray | None = None


@dataclass
class Palette:
    """Colours of one object, float32 [3, 1, 1] each."""

    main: np.ndarray
    second: np.ndarray
    rim: np.ndarray


def cos_sin(angle: float) -> tuple[float, float]:
    """Cosine and sine of an angle in radians, rounded past the differences between C libraries."""
    return round(math.cos(angle), 9), round(math.sin(angle), 9)


def grey(value: float) -> np.ndarray:
    return np.full((3, 1, 1), value, np.float32)


def mix(a: np.ndarray, b: np.ndarray, weight: np.ndarray | float) -> np.ndarray:
    """a where the weight is 0, b where it is 1."""
    return a + (b - a) * np.asarray(weight, np.float32)


def luminance(colour: np.ndarray) -> float:
    red, green, blue = (float(value) for value in colour.ravel())
    return 0.299 * red + 0.587 * green + 0.114 * blue


def coverage(distance: np.ndarray) -> np.ndarray:
    """Share of a pixel that is inside, from the signed distance (negative inside) at its centre."""
    return np.clip(np.float32(0.5) - distance, 0.0, 1.0)


def value_noise(random: RandomStream, height: int, width: int, cell: float) -> np.ndarray:
    """Smooth noise, float32 [height, width] in 0..1, from random values `cell` pixels apart."""
    values = random.grid(int(height / cell) + 3, int(width / cell) + 3)

    def positions(length: int) -> tuple[np.ndarray, np.ndarray]:
        place = np.arange(length, dtype=np.float32) / np.float32(cell) + np.float32(
            random.uniform(0.0, 1.0)
        )
        index = place.astype(np.int32)
        weight = place - index
        return index, weight * weight * (np.float32(3) - np.float32(2) * weight)

    index, weight = positions(height)
    rows = values[index] + (values[index + 1] - values[index]) * weight[:, None]
    index, weight = positions(width)
    left = rows[:, index]
    return left + (rows[:, index + 1] - left) * weight[None]


def _wave(x: np.ndarray, period: float) -> np.ndarray:
    """Triangle wave of the given period, from -1 to 1."""
    phase = x * np.float32(1.0 / period)
    phase = phase - np.floor(phase)
    return np.float32(1) - np.float32(4) * np.abs(phase - np.float32(0.5))


def pattern(
    random: RandomStream, kind: str, u: np.ndarray, v: np.ndarray, period: float
) -> np.ndarray:
    """A two-tone texture.

    Args:
        random: where offsets come from.
        kind: one of `PATTERNS`.
        u, v: float32 [h, w], coordinates in pixels that the texture follows.
        period: length in pixels after which it repeats.

    Returns:
        float32 [h, w] in 0..1, the weight of the second tone.
    """
    shift = np.float32(random.uniform(0.0, period))
    edge = np.float32(period / 5)  # tones change over about two pixels
    half = np.float32(0.5)
    if kind == "stripes":
        return np.clip(_wave(u + shift, period) * edge + half, 0.0, 1.0)
    if kind == "checks":
        waves = _wave(u + shift, period) * _wave(v + shift, period)
        return np.clip(waves * edge * np.float32(2) + half, 0.0, 1.0)
    if kind == "dots":
        waves = _wave(u + shift, period) + _wave(v + shift, period)
        return np.clip((waves - np.float32(0.6)) * edge + half, 0.0, 1.0)
    if kind == "noise":
        height, width = u.shape
        noise = value_noise(random, height, width, max(2.0, period / 2.5))
        return np.clip((noise - half) * np.float32(3) + half, 0.0, 1.0)
    if kind == "gradient":
        return np.clip(u * np.float32(1.0 / (period * 5)) + half, 0.0, 1.0)
    raise ValueError(f"unknown pattern {kind!r}; choose one of {', '.join(PATTERNS)}")


def draw_ground(random: RandomStream, size: int, colours: Colours) -> np.ndarray:
    """A textured ground, float32 [3, size, size]: noise in three octaves under a pattern."""
    first, second, third = colours
    coarse = random.log_uniform(30.0, 110.0)
    noise = sum(
        np.float32(share) * value_noise(random, size, size, coarse / step)
        for share, step in ((0.5, 1), (0.3, 3), (0.2, 9))
    )
    noise = np.clip((noise - np.float32(0.5)) * np.float32(2.4) + np.float32(0.5), 0.0, 1.0)
    u, v = local_axes(size, size, (size / 2, size / 2), random.uniform(0.0, math.pi))
    tones = pattern(random, random.choice(PATTERNS[:4]), u, v, random.log_uniform(9.0, 60.0))
    return mix(mix(first, second, noise), third, tones * np.float32(random.uniform(0.35, 0.8)))


def draw_palette(random: RandomStream, ground: Colours) -> Palette:
    """Colours of one object: the first apart from the ground's, the second leaning to one of them.

    So the outline can be seen, but no colour by itself says object or ground.
    """
    middle = (ground[0] + ground[1] + ground[2]) / np.float32(3)
    main = random.colour()
    for _ in range(20):
        if float(np.max(np.abs(main - middle))) > 70 and abs(luminance(main - middle)) > 25:
            break
        main = random.colour()
    lean = random.choice((random.colour(), *ground))
    second = mix(main, lean, random.uniform(0.45, 0.85))
    extreme = grey(12.0 if luminance(middle) + luminance(main) > 240 else 243.0)
    return Palette(main, second, mix(main, extreme, random.uniform(0.6, 0.85)))


def local_axes(
    height: int, width: int, centre: tuple[float, float], angle: float
) -> tuple[np.ndarray, np.ndarray]:
    """Pixel centres in axes that start at `centre` and are turned by `angle`: u, v [h, w]."""
    cos, sin = (np.float32(value) for value in cos_sin(angle))
    x = (np.arange(width, dtype=np.float32) + np.float32(0.5 - centre[0]))[None]
    y = (np.arange(height, dtype=np.float32) + np.float32(0.5 - centre[1]))[:, None]
    return x * cos + y * sin, y * cos - x * sin


def outline_points(name: str, a: float, b: float) -> np.ndarray:
    """Points [n, 2] of a shape's outline that span its box; a, b are its half axes."""
    if name == "rectangle":
        points = [(1, 1), (1, -1), (-1, -1), (-1, 1)]
    elif name == "cross":
        arm = CROSS_ARM
        points = [(x * i, y * j) for x, y in ((1, arm), (arm, 1)) for i in (1, -1) for j in (1, -1)]
    else:
        count = {"triangle": 3, "star": 5}.get(name, 64)
        points = [cos_sin(2 * math.pi * k / count) for k in range(count)]
    return np.array(points, np.float64) * (a, b)


def outline_distance(name: str, u: np.ndarray, v: np.ndarray, a: float, b: float) -> np.ndarray:
    """Distance in pixels to the outline, negative inside, of a shape with half axes a, b.

    Args:
        name: one of `SHAPE_NAMES`.
        u, v: float32 [h, w], coordinates along the axes of the shape.
        a, b: half axes in pixels.
    """
    fa, fb = np.float32(a), np.float32(b)
    if name == "rectangle":
        return np.maximum(np.abs(u) - fa, np.abs(v) - fb)
    if name == "cross":
        u, v, arm = np.abs(u), np.abs(v), np.float32(CROSS_ARM)
        return np.minimum(
            np.maximum(u - fa, v - fb * arm),
            np.maximum(u - fa * arm, v - fb),
        )
    if name in ("disc", "ring"):
        radius = np.sqrt((u / fa) ** 2 + (v / fb) ** 2)
        mean = np.float32((a + b) / 2)
        if name == "disc":
            return (radius - np.float32(1)) * mean
        return (np.abs(radius - np.float32(1 - RING_BAND)) - np.float32(RING_BAND)) * mean
    if name not in ("triangle", "star"):
        raise ValueError(f"unknown shape {name!r}; choose one of {', '.join(SHAPE_NAMES)}")
    # A triangle lies inside three lines; a pentagram inside at least four of its five.
    points = outline_points(name, a, b)
    ends = np.roll(points, -1 if name == "triangle" else -2, axis=0)
    largest = second = np.full(u.shape, -np.inf, np.float32)
    for (x1, y1), (x2, y2) in zip(points, ends, strict=True):
        length = math.sqrt((x2 - x1) ** 2 + (y2 - y1) ** 2)
        normal_x, normal_y = np.float32((y2 - y1) / length), np.float32((x1 - x2) / length)
        distance = (u - np.float32(x1)) * normal_x + (v - np.float32(y1)) * normal_y
        second = np.maximum(second, np.minimum(largest, distance))
        largest = np.maximum(largest, distance)
    return largest if name == "triangle" else second


def with_rim(colour: np.ndarray, distance: np.ndarray, rim: np.ndarray, size: float) -> np.ndarray:
    """The colour [3, h, w] with a soft rim along the outline, wider on larger objects."""
    width = np.float32(min(4.0, 1.2 + size * 0.015))
    return mix(colour, rim, np.clip(distance + width + np.float32(0.5), 0.0, 1.0))


def draw_shape(random: RandomStream, name: str, size: float, palette: Palette) -> Sprite:
    """A textured shape, turned at random, whose box's longer side is `size` pixels."""
    angle = random.uniform(0.0, 2 * math.pi)
    ratio = random.uniform(0.55, 1.0) if name == "rectangle" else random.uniform(0.8, 1.0)
    a, b = (1.0, ratio) if random.chance(0.5) else (ratio, 1.0)
    cos, sin = cos_sin(angle)
    points = outline_points(name, a, b)
    x = points[:, 0] * cos - points[:, 1] * sin
    y = points[:, 0] * sin + points[:, 1] * cos
    scale = size / max(x.max() - x.min(), y.max() - y.min())
    width, height = (math.ceil(scale * (p.max() - p.min())) + 3 for p in (x, y))
    centre = tuple(1.0 + random.uniform(0.0, 1.0) - scale * float(p.min()) for p in (x, y))

    u, v = local_axes(height, width, centre, angle)
    distance = outline_distance(name, u, v, a * scale, b * scale)
    period = max(5.0, size * random.uniform(0.15, 0.4))
    texture_u, texture_v = local_axes(height, width, centre, random.uniform(0.0, 2 * math.pi))
    tones = pattern(random, random.choice(PATTERNS), texture_u, texture_v, period)
    shade = np.float32(1) + texture_v * np.float32(random.uniform(0.1, 0.3) / size * 2)
    colour = mix(palette.main, palette.second, tones) * shade
    return Sprite(name, size, coverage(distance), with_rim(colour, distance, palette.rim, size))


def finish(random: RandomStream, canvas: np.ndarray) -> np.ndarray:
    """Uneven light, a mild blur and sensor noise, then rounding.

    Args:
        random: where light, blur and noise come from.
        canvas: float32 [3, H, W], overwritten.

    Returns:
        uint8 [H, W, 3].
    """
    _, height, width = canvas.shape
    canvas *= value_noise(random, height, width, 140.0) * np.float32(0.35) + np.float32(0.8)
    side = np.float32(random.uniform(0.05, 0.22))
    centre = np.float32(1) - side - side
    for part in (lambda a, k: a[:, k], lambda a, k: a[:, :, k]):
        inner = part(canvas, slice(None, -2)) + part(canvas, slice(2, None))
        inner *= side
        middle = part(canvas, slice(1, -1))
        middle *= centre
        middle += inner
    noise = random.grid(3, height, width)
    noise -= np.float32(0.5)
    noise *= np.float32(random.uniform(6.0, 16.0))
    canvas += noise
    np.clip(np.rint(canvas, out=canvas), 0, 255, out=canvas)
    return np.ascontiguousarray(canvas.astype(np.uint8).transpose(1, 2, 0))
