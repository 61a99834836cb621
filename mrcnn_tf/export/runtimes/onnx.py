"""onnxruntime."""

import json
import os
import time
from pathlib import Path

import numpy as np

from mrcnn_tf.export.onnx import LABELS_ENTRY
from mrcnn_tf.export.runtimes.runtime import Runtime


class OnnxRuntime(Runtime):
    """An `.onnx` file in onnxruntime, on the CPU.

    Args:
        filepath: a file that `save_onnx` wrote.
        threads: of the session; default: one for each core.

    Raises:
        ImportError: `onnxruntime` is not installed.
        FileNotFoundError: there is no such file.
        ValueError: the file was not written by `export`.

    Example:

    ```python
    with OnnxRuntime("nuclei.onnx") as run:
        run(canvas, np.int32([[256, 256]]))["boxes"]
    ```
    """

    def __init__(self, filepath: str | os.PathLike, threads: int | None = None):
        try:
            import onnxruntime
        except ImportError as error:
            raise ImportError(
                f'To run {os.fspath(filepath)}, install onnxruntime: pip install "mrcnn-tf[onnx]"'
            ) from error

        if not Path(filepath).is_file():
            raise FileNotFoundError(f"There is no file {os.fspath(filepath)}.")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        # Threads that wait for work in a loop take the cores from whatever runs beside them.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(
                os.fspath(filepath), options, providers=["CPUExecutionProvider"]
            )
        except onnxruntime.capi.onnxruntime_pybind11_state.InvalidProtobuf as error:
            raise ValueError(f"{os.fspath(filepath)} is no ONNX file.") from error
        labels = self._session.get_modelmeta().custom_metadata_map.get(LABELS_ENTRY)
        if labels is None:
            raise ValueError(f"{os.fspath(filepath)} has no labels: it was not written by export.")
        self._names = [output.name for output in self._session.get_outputs()]
        [images] = [i for i in self._session.get_inputs() if i.name == "images"]
        super().__init__(tuple(images.shape[1:3]), json.loads(labels))

    def __call__(self, images: np.ndarray, image_sizes: np.ndarray) -> dict[str, np.ndarray]:
        start = time.perf_counter()
        values = self._session.run(self._names, {"images": images, "image_sizes": image_sizes})
        self.seconds = time.perf_counter() - start
        return dict(sorted(zip(self._names, values, strict=True)))

    def close(self) -> None:
        self._session = None
