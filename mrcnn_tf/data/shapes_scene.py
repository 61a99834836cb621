"""Composes one generated scene: places textured objects on a ground and describes what is seen."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mrcnn_tf.data.shapes_drawing import (
    SHAPE_NAMES,
    Colours,
    Sprite,
    draw_ground,
    draw_palette,
    draw_shape,
    finish,
)
from mrcnn_tf.data.shapes_figure import JOINT_NAMES, SKELETON, draw_figure
from mrcnn_tf.data.shapes_random import RandomStream

GENERATOR_VERSION = 1  # raise it whenever a scene of a given seed changes

# Numbers with gaps, as in COCO, so that nothing gets away with taking them for class indices.
CATEGORIES = (
    {
        "id": 1,
        "name": "person",
        "supercategory": "person",
        "keypoints": list(JOINT_NAMES),
        "skeleton": [list(pair) for pair in SKELETON],
    },
    *(
        {"id": number, "name": name, "supercategory": "shape"}
        for number, name in zip((3, 4, 7, 8, 11, 15), SHAPE_NAMES, strict=True)
    ),
)

# Longer side of an object's box in pixels before drawing. Sharp tips lose up to 2.5 px when drawn,
# so that what is seen measures 16 to 200.
MIN_SIZE, MAX_SIZE = 18.5, 199.0
MIN_FIGURE = 64.0  # joints of smaller figures run into each other
MIN_VISIBLE, MIN_AREA = 0.5, 48  # share of the object, and pixels, that must stay in sight
FIGURE_SHARE, NEIGHBOUR_SHARE = 0.2, 0.5


@dataclass(frozen=True)
class SceneObject:
    """One object of a scene.

    Attributes:
        name: category name.
        category_id: its number in `CATEGORIES`.
        size: longer side, 16 to 200 px, of the box of the whole object, hidden parts included.
        mask: bool [H, W], the visible part.
        box: (x, y, width, height), the tight box of `mask`.
        visible: visible pixels over pixels of the whole object (also those outside the image).
        occluded: other objects cover at least 2% and 4 px of it.
        keypoints: int [17, 3] of (x, y, v) as COCO has them, or None. v: 0 outside the image (x and
            y are 0), 1 hidden, 2 visible, in which case `mask[y, x]` is True.
    """

    name: str
    category_id: int
    size: int
    mask: np.ndarray
    box: tuple[int, int, int, int]
    visible: float
    occluded: bool
    keypoints: np.ndarray | None


@dataclass(frozen=True)
class Scene:
    """A picture, uint8 [H, W, 3], and its objects from the farthest to the nearest."""

    image: np.ndarray
    objects: tuple[SceneObject, ...]


def make_scene(
    seed: int,
    index: int,
    image_size: int = 320,
    *,
    min_objects: int = 3,
    max_objects: int = 12,
) -> Scene:
    """Draws scene number `index` of a seed; the same arguments give the same bits everywhere.

    Objects measure 16 to 200 px, at most 5/8 of the image, logarithmically uniform. Each later one
    hides what it covers of the earlier ones; at least half of every object stays in sight.

    Args:
        seed: non-negative integer.
        index: number of the scene, from 0.
        image_size: side of the square image in pixels, at least 96.
        min_objects: fewest objects, at least 1.
        max_objects: most objects.

    Raises:
        ValueError: an argument out of its range, or more objects than find room.

    Example:
        >>> scene = make_scene(seed=0, index=0)
        >>> scene.image.shape
        (320, 320, 3)
    """
    if seed < 0 or index < 0:
        raise ValueError(f"seed and index must not be negative, got {seed} and {index}")
    if image_size < 96:
        raise ValueError(f"image_size must be at least 96, got {image_size}")
    if not 1 <= min_objects <= max_objects:
        raise ValueError(
            f"need 1 <= min_objects <= max_objects, got {min_objects} and {max_objects}"
        )
    random = RandomStream(GENERATOR_VERSION, seed, index)
    ground = (random.colour(), random.colour(), random.colour())
    canvas = draw_ground(random, image_size, ground)
    placed = _place_objects(random, image_size, ground, random.integer(min_objects, max_objects))
    for sprite, x, y in placed.items:
        rows, columns, inside = _overlap(sprite, x, y, image_size)
        under = canvas[:, rows, columns]
        under += sprite.alpha[inside] * (sprite.colour[(slice(None), *inside)] - under)
    objects = tuple(_describe(placed, number) for number in range(len(placed.items)))
    return Scene(finish(random, canvas), objects)


@dataclass
class _Placement:
    """Objects put so far, (sprite, x, y) each, and who is seen: owner [H, W], -1 is ground.

    `whole` and `visible` count each object's pixels: all of them, and those in sight.
    """

    owner: np.ndarray
    items: list[tuple[Sprite, int, int]] = field(default_factory=list)
    whole: list[int] = field(default_factory=list)
    visible: list[int] = field(default_factory=list)


def _overlap(sprite: Sprite, x: int, y: int, image_size: int) -> tuple[slice, slice, tuple]:
    """Rows and columns of the image under a sprite put at (x, y), and that part of the sprite."""
    height, width = sprite.alpha.shape
    top, left = max(y, 0), max(x, 0)
    bottom, right = min(y + height, image_size), min(x + width, image_size)
    inside = slice(top - y, bottom - y), slice(left - x, right - x)
    return slice(top, bottom), slice(left, right), inside


def _place_objects(
    random: RandomStream, image_size: int, ground: Colours, count: int
) -> _Placement:
    largest = min(MAX_SIZE, image_size * 0.625)
    wanted = []
    for _ in range(count):
        figure = random.chance(FIGURE_SHARE)
        low = min(MIN_FIGURE, largest * 0.6) if figure else MIN_SIZE
        name = "person" if figure else random.choice(SHAPE_NAMES)
        wanted.append((random.log_uniform(low, largest), name))
    # Mostly the larger ones behind, else they would hide the small ones and find no room.
    wanted.sort(key=lambda item: -item[0] * random.log_uniform(0.4, 2.5))

    placed = _Placement(np.full((image_size, image_size), -1, np.int16))
    for size, name in wanted:
        for _ in range(40):
            palette = draw_palette(random, ground)
            if name == "person":
                sprite = draw_figure(random, size, palette)
            else:
                sprite = draw_shape(random, name, size, palette)
            if any(_put(random, placed, sprite, image_size) for _ in range(12)):
                break
            size = max(MIN_SIZE, size * 0.7)
            name = random.choice(SHAPE_NAMES) if size < MIN_FIGURE else name
        else:
            raise ValueError(
                f"no room for {count} objects in {image_size} px; lower max_objects or raise "
                f"image_size"
            )
    return placed


def _put(random: RandomStream, placed: _Placement, sprite: Sprite, image_size: int) -> bool:
    """Tries one random place; False if too little of this or an earlier object stays in sight."""
    height, width = sprite.alpha.shape
    if placed.items and random.chance(NEIGHBOUR_SHARE):
        other, x, y = random.choice(placed.items)
        other_height, other_width = other.alpha.shape
        x += other_width / 2 + random.uniform(-0.4, 0.4) * (other_width + width)
        y += other_height / 2 + random.uniform(-0.4, 0.4) * (other_height + height)
    else:
        x, y = (random.uniform(0.1, 0.9) * image_size for _ in range(2))
    x, y = int(x - width / 2), int(y - height / 2)
    rows, columns, inside = _overlap(sprite, x, y, image_size)
    if rows.stop <= rows.start or columns.stop <= columns.start:
        return False
    solid = sprite.alpha >= 0.5
    under = placed.owner[rows, columns]
    covered = np.bincount(under[solid[inside]] + 1, minlength=len(placed.items) + 1)
    visible = [v - int(c) for v, c in zip(placed.visible, covered[1:], strict=True)]
    visible.append(int(covered.sum()))
    whole = [*placed.whole, int(np.count_nonzero(solid))]
    if any(v < max(MIN_AREA, MIN_VISIBLE * w) for v, w in zip(visible, whole, strict=True)):
        return False
    under[solid[inside]] = len(placed.items)
    placed.items.append((sprite, x, y))
    placed.visible, placed.whole = visible, whole
    return True


def _tight_box(mask: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    x, y = int(columns[0]), int(rows[0])
    return x, y, int(columns[-1]) - x + 1, int(rows[-1]) - y + 1


def _describe(placed: _Placement, number: int) -> SceneObject:
    sprite, x, y = placed.items[number]
    mask = placed.owner == number
    box = _tight_box(mask)
    _, _, inside = _overlap(sprite, x, y, len(mask))
    area, in_image = placed.visible[number], int(np.count_nonzero(sprite.alpha[inside] >= 0.5))
    keypoints = None
    if sprite.joints is not None:
        places = np.floor(sprite.joints).astype(np.int64) + (x, y)
        keypoints = np.zeros((len(JOINT_NAMES), 3), np.int64)
        for row, (px, py), shown in zip(keypoints, places, sprite.joint_shown, strict=True):
            if 0 <= px < len(mask) and 0 <= py < len(mask):
                row[:] = px, py, 2 if shown and mask[py, px] else 1
    return SceneObject(
        name=sprite.name,
        category_id=next(c["id"] for c in CATEGORIES if c["name"] == sprite.name),
        size=max(_tight_box(sprite.alpha >= 0.5)[2:]),
        mask=mask,
        box=box,
        visible=area / placed.whole[number],
        occluded=in_image - area >= max(4, 0.02 * in_image),
        keypoints=keypoints,
    )
