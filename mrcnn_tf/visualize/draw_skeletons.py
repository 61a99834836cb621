"""Joints and limbs of one object drawn over an image."""

import colorsys
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from mrcnn_tf.visualize.colors import Color

# Hues (first, last joint) by the side that a joint's name tells: cold on the left, warm on the
# right, green between; a joint's place in the list, in COCO from head to foot, shades them.
_HUES = {
    "left": (0.48, 0.74),
    "right": (0.13, -0.08),
    "middle": (0.18, 0.38),
    "": (0.0, 0.85),  # no name tells a side
}
_CASING = (24, 24, 24)
_PAPER = (255, 255, 255)


def draw_skeleton(
    image: Image.Image,
    keypoints: np.ndarray,
    skeleton: Sequence[tuple[int, int]],
    names: Sequence[str] | None = None,
    threshold: float = 0.05,
    hidden: np.ndarray | None = None,
    thickness: float | None = None,
) -> None:
    """Draws the joints of one object and the limbs between them, in place.

    Limbs of the left side are blue, those of the right red and orange, those between green and
    yellow, so that a figure's pose shows at a glance.

    Args:
        image: RGB.
        keypoints: `[K, 3]`: x, y in pixels of the image and score (or visibility).
        skeleton: pairs of joints, counted from 0. A limb is drawn if both its joints are.
        names: of the joints; "left" and "right" in them tell the side.
        threshold: leave out joints with a lower score.
        hidden: bool `[K]`, joints to draw as rings, with thin limbs.
        thickness: width of the limbs in pixels. Default: by the extent of the joints.
    """
    keypoints = np.asarray(keypoints, np.float64)
    is_drawn = (keypoints[:, 2] >= threshold) & (keypoints[:, 2] > 0)
    if not is_drawn.any():
        return
    places = keypoints[is_drawn, :2]
    if thickness is None:
        thickness = limb_width(float(np.ptp(places, axis=0).max()), max(image.size))
    hidden = np.zeros(len(keypoints), bool) if hidden is None else hidden
    margin = int(3 * thickness) + 2
    left, top = np.maximum(np.floor(places.min(axis=0)).astype(int) - margin, 0)
    right, bottom = np.minimum(np.ceil(places.max(axis=0)).astype(int) + margin, image.size)
    if left >= right or top >= bottom:
        return
    # Pillow's lines have no smooth edges: they are drawn larger and averaged. Pixels that nothing
    # is drawn on stay what they are.
    zoom = 4 if thickness < 8 else 2
    region = image.crop((left, top, right, bottom))
    large = region.resize((region.width * zoom, region.height * zoom), Image.Resampling.NEAREST)
    _draw(
        ImageDraw.Draw(large),
        (keypoints[:, :2] - (left, top)) * zoom,
        [(a, b) for a, b in skeleton if is_drawn[a] and is_drawn[b]],
        np.flatnonzero(is_drawn),
        hidden,
        _sides(names or [""] * len(keypoints)),
        thickness * zoom,
    )
    image.paste(large.resize(region.size, Image.Resampling.BOX), (int(left), int(top)))


def limb_width(extent: float, image_side: int) -> float:
    """Width of a limb in pixels for joints that extend so far in an image of that longer side."""
    return float(np.clip(extent / 45, 1.2, max(1.8, image_side / 160)))


def _draw(canvas, places, limbs, joints, hidden, sides, thickness) -> None:
    edge = max(0.35 * thickness, 2.5)
    shapes = []
    for a, b in limbs:
        width = thickness * (0.55 if hidden[a] or hidden[b] else 1.0)
        shapes.append((tuple(places[a]), tuple(places[b]), width, _color(sides, a, b)))
    for start, end, width, _ in shapes:
        canvas.line([start, end], fill=_CASING, width=round(width + 2 * edge))
    for start, end, width, color in shapes:
        canvas.line([start, end], fill=color, width=round(width))
    radius = 0.85 * thickness
    for joint in joints:
        x, y = places[joint]
        _disc(canvas, x, y, radius + edge, _CASING)
        _disc(canvas, x, y, radius, _color(sides, joint, joint))
        if hidden[joint]:
            _disc(canvas, x, y, 0.6 * radius, _PAPER)


def _disc(canvas, x: float, y: float, radius: float, color: Color) -> None:
    canvas.ellipse((x - radius, y - radius, x + radius, y + radius), fill=color)


def _sides(names: Sequence[str]) -> list[str]:
    """Of each joint "left", "right" or "middle"; nothing for all if no name tells a side."""
    sides = [
        next((side for side in ("left", "right") if side in name.lower()), "middle")
        for name in names
    ]
    return [""] * len(sides) if set(sides) == {"middle"} else sides


def _color(sides: list[str], a: int, b: int) -> Color:
    """RGB 0..255 of the limb between two joints, or of one joint."""
    outer = {sides[a], sides[b]} - {"middle"}
    first, last = _HUES[outer.pop() if len(outer) == 1 else "middle"]
    hue = first + (last - first) * (a + b) / 2 / max(len(sides) - 1, 1)
    return tuple(round(255 * channel) for channel in colorsys.hsv_to_rgb(hue % 1, 0.8, 1.0))
