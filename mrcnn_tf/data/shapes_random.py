"""Random numbers that are the same on every platform and under every NumPy version."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


class RandomStream:
    """A stream of random numbers fixed by a key of non-negative integers.

    NumPy may change what `Generator.integers` or `Generator.normal` return from one version to the
    next; it promises to keep `SeedSequence` and the raw 64-bit words of a bit generator. So
    everything here is made from raw PCG64 words alone.

    Args:
        *key: non-negative integers. Streams of different keys are independent.

    Example:
        >>> RandomStream(0, 7).uniform(0.0, 1.0) == RandomStream(0, 7).uniform(0.0, 1.0)
        True
    """

    def __init__(self, *key: int):
        self._bits = np.random.PCG64(np.random.SeedSequence(key))

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * ((self._bits.random_raw() >> 11) * 2.0**-53)

    def log_uniform(self, low: float, high: float) -> float:
        """A number whose logarithm is uniform, rounded past the differences between C libraries."""
        return round(low * (high / low) ** self.uniform(0.0, 1.0), 3)

    def integer(self, low: int, high: int) -> int:
        """An integer from low to high, both included."""
        return low + int(self._bits.random_raw() % (high - low + 1))

    def chance(self, probability: float) -> bool:
        return self.uniform(0.0, 1.0) < probability

    def choice(self, items: Sequence[T]) -> T:
        return items[self.integer(0, len(items) - 1)]

    def colour(self, low: float = 25.0, high: float = 230.0) -> np.ndarray:
        """A colour, float32 [3, 1, 1], each channel between low and high."""
        return np.array([[[self.uniform(low, high)]] for _ in range(3)], np.float32)

    def grid(self, *shape: int) -> np.ndarray:
        """Independent float32 values k / 255, k = 0..255, of the given shape."""
        count = int(np.prod(shape))
        words = np.atleast_1d(self._bits.random_raw((count + 7) // 8)).astype("<u8")
        return words.view(np.uint8)[:count].reshape(shape).astype(np.float32) / np.float32(255)
