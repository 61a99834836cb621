"""LiteRT's interpreter for Python."""

import os
import time
from pathlib import Path

import numpy as np

from mrcnn_tf.export.litert_file import read_labels
from mrcnn_tf.export.runtimes.runtime import Runtime


class LiteRTRuntime(Runtime):
    """A `.tflite` file in the interpreter of `ai-edge-litert`.

    Args:
        filepath: a file that `save_litert` wrote.
        threads: of the interpreter; default: one for each processor.

    Raises:
        ModuleNotFoundError: `ai-edge-litert` is not installed.
        FileNotFoundError: there is no such file.
        ValueError: the file was not written by `export`.

    Example:

    ```python
    with LiteRTRuntime("nuclei.tflite") as run:
        run(canvas, np.int32([[256, 256]]))["boxes"]
    ```
    """

    def __init__(self, filepath: str | os.PathLike, threads: int | None = None):
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise ModuleNotFoundError(
                f"To run {os.fspath(filepath)}, install ai-edge-litert: "
                'pip install "mrcnn-tf[litert]"'
            ) from error

        if not Path(filepath).is_file():
            raise FileNotFoundError(f"There is no file {os.fspath(filepath)}.")
        labels = read_labels(filepath)
        self._interpreter = Interpreter(
            os.fspath(filepath), num_threads=threads or os.cpu_count() or 1
        )
        self._detect = self._interpreter.get_signature_runner()
        _, height, width, _ = self._detect.get_input_details()["images"]["shape"]
        super().__init__((int(height), int(width)), labels)

    def __call__(self, images: np.ndarray, image_sizes: np.ndarray) -> dict[str, np.ndarray]:
        start = time.perf_counter()
        outputs = self._detect(images=images, image_sizes=image_sizes)
        self.seconds = time.perf_counter() - start
        return dict(sorted(outputs.items()))

    def close(self) -> None:
        self._detect = self._interpreter = None
