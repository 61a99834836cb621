"""How fast this machine copies memory, which bounds what an op can reach."""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np


def copy_bandwidth(threads: int, size: int = 256 << 20, rounds: int = 7) -> float:
    """Bytes per second, read and written, of a copy by all threads.

    Each thread copies its part of an array that no cache holds. Of several rounds the fastest
    counts: a bound that is too low in time is a bound still.

    Args:
        threads: as many as the ops use.
        size: bytes to copy.
        rounds: how often.

    Returns:
        Twice the size, as it is read and written, divided by the seconds of the fastest round.

    Example:

    >>> copy_bandwidth(threads=2) > 1e8
    True
    """
    source, target = np.ones(size, np.uint8), np.zeros(size, np.uint8)
    parts = list(zip(np.array_split(source, threads), np.array_split(target, threads), strict=True))
    fastest = float("inf")
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(rounds):
            start = time.perf_counter()
            # NumPy releases the GIL while it copies.
            list(pool.map(lambda part: np.copyto(part[1], part[0]), parts))
            fastest = min(fastest, time.perf_counter() - start)
    return 2 * size / fastest
