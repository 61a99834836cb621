"""The process with torch in it, as `scripts/test_peers` talks to it."""

import contextlib
import os
from pathlib import Path

import numpy as np

from mrcnn_tf.benchmark.run import usable_cores
from mrcnn_tf.benchmark.worker import Worker

WORKER = Path(__file__).parent / "test_peers_torch.py"

Arrays = dict[str, np.ndarray]


class Peer(contextlib.ExitStack):
    """A detector of torchvision with seeded weights, in a process of its own.

    Args:
        python: that has torch and torchvision.
        folder: for what the processes exchange.
        size: short side, and the longest that a long side may be, in pixels.
    """

    def __init__(self, python: str | os.PathLike, folder: Path, size: tuple[int, int]):
        super().__init__()
        self.folder, self.size = folder, size
        self._worker = self.enter_context(Worker([os.fspath(python), str(WORKER)], usable_cores()))

    def ask(self, model: str, seed: int, what: str, **arrays) -> Arrays:
        """Runs a function of `test_peers_torch.py`; paths are given as strings."""
        inputs, outputs = self.folder / "inputs.npz", self.folder / "outputs.npz"
        np.savez(inputs, seed=seed, size=np.array(self.size), **arrays)
        self._worker.prepare(model, what, inputs)
        return self._worker.result(outputs)
