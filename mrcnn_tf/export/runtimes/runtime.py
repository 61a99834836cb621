"""What every runtime has in common."""

from __future__ import annotations

import abc
import typing

import numpy as np


class Runtime(abc.ABC):
    """An exported model, opened by the program that runs it.

    A context manager: some runtimes are other processes, which end with it.

    Attributes:
        size: height and width of the canvas.
        labels: see `model_labels`.
        seconds: what the last call took within the runtime, without the way there and back.
    """

    def __init__(self, size: tuple[int, int], labels: dict[str, typing.Any]):
        self.size = size
        self.labels = labels
        self.seconds = 0.0

    @abc.abstractmethod
    def __call__(self, images: np.ndarray, image_sizes: np.ndarray) -> dict[str, np.ndarray]:
        """Detections of one image on its canvas.

        Args:
            images: `[1, H, W, 3]` uint8, as large as `size`.
            image_sizes: `[1, 2]` int32.

        Returns:
            What `portable_function` gives.
        """

    def close(self) -> None:  # noqa: B027 - most runtimes hold nothing
        """Give back what the runtime holds; a second call does nothing."""

    def __enter__(self) -> Runtime:
        return self

    def __exit__(self, *error) -> None:
        self.close()
