"""The weights and the image that the golden files of Detectron2 were made with."""

import json
import zlib
from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).parents[1] / "golden"

PHOTOS = ["000000000196.jpg", "000000000357.jpg", "000000000113.jpg"]

TOLERANCE = 1e-4  # of the largest value of a tensor
BOX_TOLERANCE = 0.01  # px
# Detectron2 with other convolution kernels differs from its own golden scores by 1.3e-5.
SCORE_TOLERANCE = 2e-5
MASK_TOLERANCE = 1e-3  # the file is float16


def seeded_weights(kind: str = "mask") -> dict[str, np.ndarray]:
    """All tensors of `mask_rcnn_R_50_FPN`, or of `keypoint_rcnn_R_50_FPN`, in Detectron2's layouts.

    Args:
        kind: `"mask"` or `"keypoint"`.
    """
    return {name: golden_tensor(name, entry) for name, entry in seeded_shapes(kind).items()}


def seeded_shapes(kind: str = "mask") -> dict[str, dict]:
    """Shape, kind and scale of every tensor by name, and its sum and first values."""
    shapes = json.loads((GOLDEN / "detectron2_mask_rcnn_weights.json").read_text())["tensors"]
    if kind == "mask":
        return shapes
    # The file holds what is not as in the mask model: the predictors and the head.
    own = json.loads((GOLDEN / "detectron2_keypoint_rcnn_weights.json").read_text())["tensors"]
    return {name: shapes[name] for name in shapes if "mask_head" not in name} | own


def golden_tensor(name: str, entry: dict) -> np.ndarray:
    """The tensor that the golden files were made with, checked against its sum and first values."""
    scale = np.float32(entry.get("mul", 1.0))
    if entry["kind"] == "const":
        tensor = np.float32(entry["values"]).reshape(entry["shape"])
    else:
        seed = zlib.crc32(name.encode())
        noise = np.random.RandomState(seed).standard_normal(entry["shape"]).astype(np.float32)
        if entry["kind"] == "weight":
            tensor = noise * np.float32(np.sqrt(2.0 / entry["fan_in"]) * entry.get("mul", 1.0))
        elif entry["kind"] == "bias":
            tensor = noise * np.float32(0.01 * entry.get("mul", 1.0))
        elif entry["kind"] == "gamma":
            tensor = (np.float32(1) + np.float32(0.1) * noise) * scale
        elif entry["kind"] == "var":
            tensor = np.abs(np.float32(1) + np.float32(0.1) * noise)
        else:
            tensor = np.float32(0.1) * noise
    # Weights that are not Detectron2's would make every comparison meaningless.
    total = float(tensor.astype(np.float64).sum())
    assert abs(total - entry["sum"]) <= 1e-6 * (1 + float(np.abs(tensor).sum())), name
    np.testing.assert_allclose(tensor.reshape(-1)[:3], entry["first"], rtol=1e-6, err_msg=name)
    return tensor


def synthetic_image(height: int, width: int) -> np.ndarray:
    """A mosaic of random colours in squares of 8 pixels, uint8 RGB `[height, width, 3]`."""
    shape = (-(-height // 8), -(-width // 8), 3)
    squares = np.random.RandomState(7).randint(0, 256, shape).astype(np.uint8)
    return np.kron(squares, np.ones((8, 8, 1), np.uint8))[:height, :width]


def difference(ours: np.ndarray, golden: dict[str, np.ndarray], key: str) -> float:
    """Largest difference from the values stored under `key`, relative to the largest of them.

    Args:
        ours: the whole array, in Detectron2's layout.
        golden: a golden file.
        key: see the README of the golden files.
    """
    assert ours.shape == tuple(golden[f"{key}.shape"]), (key, ours.shape)
    expected = golden[f"{key}.sample"].astype(np.float32)
    found = ours.reshape(-1)[:: int(golden[f"{key}.stride"])]
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def pair_up(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]):
    """Pairs detections by class and overlap, whatever their order.

    Returns:
        Row of `found` for every row of `expected`, the largest difference of a coordinate of the
        pair in pixels, and the difference of their scores.
    """
    a, b = expected["boxes"][:, None], found["boxes"][None]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared = np.prod(np.maximum(sides, 0), axis=-1)
    areas = [np.prod(boxes[..., 2:] - boxes[..., :2], axis=-1) for boxes in (a, b)]
    overlap = shared / (areas[0] + areas[1] - shared)
    overlap[expected["classes"][:, None] != found["classes"][None]] = -1
    rows = overlap.argmax(axis=1)
    assert len(set(rows)) == len(rows), "two detections have one partner"
    moved = np.abs(found["boxes"][rows] - expected["boxes"]).max(axis=1)
    return rows, moved, np.abs(found["scores"][rows] - expected["scores"])
