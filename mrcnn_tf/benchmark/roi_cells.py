"""Which feature cells RoIAlign has to read: the memory traffic that no implementation avoids."""

import numpy as np


def levels_of(boxes: np.ndarray, num_levels: int) -> np.ndarray:
    """The level from which each box is pooled, [N] int64: equation 1 of the FPN paper, P2 first."""
    if num_levels == 1:
        return np.zeros(len(boxes), np.int64)
    area = np.maximum(boxes[:, 2:] - boxes[:, :2], 0).prod(axis=1)
    level = np.floor(4 + np.log2(np.sqrt(np.maximum(area, 1e-6)) / 224)) - 2
    return np.clip(level, 0, num_levels - 1).astype(np.int64)


def forward_bytes(arrays: dict[str, np.ndarray], aligned: bool) -> int:
    """Bytes of the cells that any box touches, each once, and of the output."""
    bins, output = int(arrays["bins"]), arrays["gradient"].nbytes
    touched = 0
    for level, stride in enumerate(arrays["strides"]):
        features = arrays[f"features{level}"]
        _, height, width, channels = features.shape
        is_touched = np.zeros((height, width), bool)
        for x1, y1, x2, y2 in arrays["boxes"][arrays["levels"] == level] / stride:
            rows = _cells(y1, y2, height, bins, aligned)
            columns = _cells(x1, x2, width, bins, aligned)
            is_touched[np.ix_(rows, columns)] = True
        touched += int(is_touched.sum()) * channels * features.itemsize
    return touched + output


def backward_bytes(arrays: dict[str, np.ndarray]) -> int:
    """Bytes of the incoming gradient, and of the whole maps' gradients that are written."""
    maps = [arrays[f"features{level}"] for level in range(len(arrays["strides"]))]
    return arrays["gradient"].nbytes + sum(features.nbytes for features in maps)


def _cells(low: float, high: float, size: int, bins: int, aligned: bool) -> np.ndarray:
    """The cells along one axis between which two samples a bin are interpolated."""
    if aligned:
        low, high = low - 0.5, high - 0.5
    else:
        high = max(high, low + 1)
    at = low + (np.arange(2 * bins) + 0.5) * (high - low) / (2 * bins)
    at = np.clip(at[(at >= -1) & (at <= size)], 0, size - 1)
    below = np.floor(at).astype(np.int64)
    return np.unique(np.concatenate([below, np.minimum(below + 1, size - 1)]))
