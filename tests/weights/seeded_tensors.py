"""Weights that depend on their name and shape alone, the same wherever NumPy runs."""

import zlib

import numpy as np


def seeded_tensor(name: str, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """A float32 tensor for a PyTorch name that keeps activations of a deep network near 1."""
    key = zlib.crc32(name.encode())
    generator = np.random.default_rng([key, seed] if seed else key)
    if name.endswith("running_var") or (name.endswith("weight") and len(shape) == 1):
        return generator.uniform(0.5, 1.0, shape).astype(np.float32)
    if len(shape) == 1:
        return generator.normal(0.0, 0.1, shape).astype(np.float32)
    fan_in = np.prod(shape[1:])
    return (generator.normal(0.0, 1.0, shape) / np.sqrt(fan_in)).astype(np.float32)


def samples(features: np.ndarray) -> np.ndarray:
    """A fingerprint of features `[B, H, W, C]`: every 37th value."""
    return np.ascontiguousarray(features).reshape(-1)[::37].astype(np.float32)
