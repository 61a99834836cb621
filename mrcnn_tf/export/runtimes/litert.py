"""LiteRT's interpreter for Python."""

import os
import time
from pathlib import Path

import numpy as np

from mrcnn_tf.export.litert_custom import litert_delegate, needs_delegate
from mrcnn_tf.export.litert_file import read_labels
from mrcnn_tf.export.runtimes.runtime import Runtime


class LiteRTRuntime(Runtime):
    """A `.tflite` file in the interpreter of `ai-edge-litert`.

    Args:
        filepath: a file that `save_litert` wrote.
        threads: of the interpreter; default: one for each processor.
        delegate: library of an external delegate; default: that of `litert_delegate` for a file
            that holds the compiled ops, else none.

    Raises:
        ModuleNotFoundError: `ai-edge-litert` is not installed.
        FileNotFoundError: there is no such file, or the delegate was not built.
        ValueError: the file was not written by `export`, or the delegate is none.

    Example:

    ```python
    with LiteRTRuntime("nuclei.tflite") as run:
        run(canvas, np.int32([[256, 256]]))["boxes"]
    ```
    """

    def __init__(
        self,
        filepath: str | os.PathLike,
        threads: int | None = None,
        delegate: str | os.PathLike | None = None,
    ):
        try:
            from ai_edge_litert.interpreter import Interpreter, load_delegate
        except ImportError as error:
            raise ModuleNotFoundError(
                f"To run {os.fspath(filepath)}, install ai-edge-litert: "
                'pip install "mrcnn-tf[litert]"'
            ) from error

        if not Path(filepath).is_file():
            raise FileNotFoundError(f"There is no file {os.fspath(filepath)}.")
        labels = read_labels(filepath)
        if delegate is None and needs_delegate(filepath):
            delegate = litert_delegate()
        delegates = [] if delegate is None else [load_delegate(os.fspath(delegate))]
        self._interpreter = Interpreter(
            os.fspath(filepath),
            num_threads=threads or os.cpu_count() or 1,
            experimental_delegates=delegates,
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
