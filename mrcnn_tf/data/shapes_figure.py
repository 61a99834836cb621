"""Stick figures with the 17 joints of COCO."""

from __future__ import annotations

import math

import numpy as np

from mrcnn_tf.coco_joints import COCO_KEYPOINTS, COCO_SKELETON
from mrcnn_tf.data.shapes_drawing import (
    PATTERNS,
    Palette,
    Sprite,
    cos_sin,
    coverage,
    grey,
    local_axes,
    mix,
    pattern,
    with_rim,
)
from mrcnn_tf.data.shapes_random import RandomStream

JOINT_NAMES = COCO_KEYPOINTS
FLIP_PAIRS = tuple((k, k + 1) for k in range(1, 17, 2))
# Pairs of joint numbers that start at 1, as COCO stores them.
SKELETON = tuple((a + 1, b + 1) for a, b in COCO_SKELETON)

# Lengths and radii in units of the height of a standing figure.
HEAD = 0.105
EAR = 0.03
ARM, LEG = 0.04, 0.048
PADDING = 0.05  # the torso is this much wider than its four joints


def _pose(random: RandomStream) -> np.ndarray:
    """Joints [17, 2] of a figure of height 1 that faces the viewer: its left is at larger x."""
    joints = np.zeros((17, 2))
    turn = random.uniform(-0.03, 0.03)
    head_x, head_y = random.uniform(-0.03, 0.03), 0.11
    joints[0] = head_x + turn, head_y + 0.025
    for side, offset in ((1, 0), (-1, 1)):
        joints[1 + offset] = head_x + turn + side * 0.04, head_y - 0.02
        joints[3 + offset] = head_x + side * HEAD, head_y
        joints[5 + offset] = shoulder = np.array([side * 0.115, 0.29])
        joints[11 + offset] = hip = np.array([side * 0.065, 0.56])
        # Angles from hanging straight down, outwards; raised arms reach above the head.
        arm = random.uniform(0.1, 2.6)
        fore_arm = arm + random.uniform(-1.2, 1.2)
        leg = random.uniform(0.0, 0.9)
        shin = leg - random.uniform(-0.1, 0.9)
        joints[7 + offset] = elbow = shoulder + _step(arm, 0.165, side)
        joints[9 + offset] = elbow + _step(fore_arm, 0.165, side)
        joints[13 + offset] = knee = hip + _step(leg, 0.2, side)
        joints[15 + offset] = knee + _step(shin, 0.2, side)
    return joints


def _step(angle: float, length: float, side: int) -> np.ndarray:
    cos, sin = cos_sin(angle)
    return np.array([side * sin * length, cos * length])


def _capsule(x: np.ndarray, y: np.ndarray, p: np.ndarray, q: np.ndarray, radius: float):
    """Distance to the segment from p to q thickened by the radius; x [1, w], y [h, 1]."""
    dx, dy = np.float32(q[0] - p[0]), np.float32(q[1] - p[1])
    x, y = x - np.float32(p[0]), y - np.float32(p[1])
    along = np.clip((x * dx + y * dy) / max(dx * dx + dy * dy, np.float32(1e-6)), 0.0, 1.0)
    x, y = x - along * dx, y - along * dy
    return np.sqrt(x * x + y * y) - np.float32(radius)


def _disc(x: np.ndarray, y: np.ndarray, centre: np.ndarray, radius: float) -> np.ndarray:
    x, y = x - np.float32(centre[0]), y - np.float32(centre[1])
    return np.sqrt(x * x + y * y) - np.float32(radius)


def draw_figure(random: RandomStream, size: float, palette: Palette) -> Sprite:
    """A stick figure whose box's longer side is `size` pixels.

    It faces the viewer, so its left limbs start at the right of its body. They are also light and
    striped along their length, the right ones dark and plain. A mirrored picture swaps the shades,
    but not what the position says, so training with flips (and `FLIP_PAIRS`) stays consistent.

    Args:
        random: where pose, angle and textures come from.
        size: longer side of the figure's box in pixels; joints blur together below about 48.
        palette: its colours.
    """
    angle = random.uniform(-0.5, 0.5) if random.chance(0.85) else random.uniform(-3.1, 3.1)
    cos, sin = cos_sin(angle)
    joints = _turn(_pose(random), cos, sin)
    head = (joints[3] + joints[4]) / 2
    reach = np.array([0, 0, 0, EAR, EAR, 0.07, 0.07, *[ARM] * 4, 0.07, 0.07, *[LEG] * 4])[:, None]
    low = np.minimum((joints - reach).min(0), head - HEAD)
    high = np.maximum((joints + reach).max(0), head + HEAD)
    scale = size / float((high - low).max())
    shift = np.array([random.uniform(1.0, 2.0), random.uniform(1.0, 2.0)]) - low * scale
    joints, head = joints * scale + shift, head * scale + shift
    width, height = (math.ceil(side) + 3 for side in (high - low) * scale)

    x = (np.arange(width, dtype=np.float32) + np.float32(0.5))[None]
    y = (np.arange(height, dtype=np.float32) + np.float32(0.5))[:, None]
    u, v = local_axes(height, width, tuple(head), angle)
    period = max(5.0, size * random.uniform(0.06, 0.12))
    tones = pattern(random, random.choice(PATTERNS), u, v, period)
    body = mix(palette.main, palette.second, tones)
    bands = pattern(random, "stripes", v, u, max(4.0, size * 0.07))
    light = mix(palette.main, grey(250.0), 0.7)
    light = mix(light, palette.main, bands * np.float32(0.45))
    dark = mix(palette.main, grey(8.0), 0.75)

    def limb(first: int, radius: float) -> np.ndarray:
        upper = _capsule(x, y, joints[first], joints[first + 2], radius * scale)
        lower = _capsule(x, y, joints[first + 2], joints[first + 4], radius * scale)
        return np.minimum(upper, lower)

    spine = (joints[5] + joints[6]) / 2, (joints[11] + joints[12]) / 2
    torso = np.maximum(
        _capsule(x, y, *spine, (0.115 + PADDING) * scale),
        np.abs(v - np.float32(0.315 * scale)) - np.float32((0.135 + PADDING) * scale),
    )
    torso = np.minimum(torso, _capsule(x, y, spine[0], head, 0.05 * scale))
    skull = _disc(x, y, head, HEAD * scale)
    for ear in (3, 4):
        skull = np.minimum(skull, _disc(x, y, joints[ear], EAR * scale))
    parts = {
        "left_leg": (limb(11, LEG), light),
        "right_leg": (limb(12, LEG), dark),
        "torso": (torso, body),
        "left_arm": (limb(5, ARM), light),
        "right_arm": (limb(6, ARM), dark),
        "head": (skull, body),
    }
    behind = [arm for arm in ("left_arm", "right_arm") if random.chance(0.4)]
    order = [*behind, *(part for part in parts if part not in behind)]

    alpha = np.zeros((height, width), np.float32)
    colour = np.broadcast_to(palette.rim, (3, height, width))
    top = np.full((height, width), -1, np.int8)
    for part in order:
        distance, texture = parts[part]
        cover = coverage(distance)
        rim = with_rim(texture, distance + np.float32(0.8), palette.rim, size / 2)
        colour = mix(colour, rim, cover)
        alpha = np.maximum(alpha, cover)
        top[cover >= 0.5] = order.index(part)
    for joint, radius in ((0, 0.016), (1, 0.022), (2, 0.022)):
        cover = coverage(_disc(x, y, joints[joint], max(0.7, radius * scale)))
        colour = mix(colour, palette.rim, cover)

    columns, rows = np.floor(joints).astype(int).T
    columns, rows = np.clip(columns, 0, width - 1), np.clip(rows, 0, height - 1)
    shown = np.array(
        [
            top[row, column] >= 0 and order[top[row, column]] in _parts_of(name)
            for name, row, column in zip(JOINT_NAMES, rows, columns, strict=True)
        ]
    )
    return Sprite("person", size, alpha, colour, joints, shown)


def _turn(points: np.ndarray, cos: float, sin: float) -> np.ndarray:
    x, y = points[:, 0], points[:, 1]
    return np.stack([x * cos - y * sin, x * sin + y * cos], axis=1)


def _parts_of(joint: str) -> tuple[str, ...]:
    """The parts of a figure on which a joint is seen."""
    side, _, name = joint.rpartition("_")
    if name in ("shoulder", "elbow", "wrist"):
        return (f"{side}_arm", "torso") if name == "shoulder" else (f"{side}_arm",)
    if name in ("hip", "knee", "ankle"):
        return (f"{side}_leg", "torso") if name == "hip" else (f"{side}_leg",)
    return ("head",)
