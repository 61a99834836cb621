"""OpenVINO."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tensorflow.core.protobuf import saved_model_pb2

from mrcnn_tf.export.portable import LABELS, SIGNATURE
from mrcnn_tf.export.runtimes.runtime import Runtime


class OpenVinoRuntime(Runtime):
    """The signature `portable` of a SavedModel in OpenVINO, on the CPU.

    OpenVINO reads the SavedModel by itself. Of several signatures it takes `serving_default`, so it
    is given one that has `portable` in that place. It computes in float32: CPUs that have bfloat16
    would otherwise use it, and boxes move by tens of pixels.

    Args:
        filepath: a SavedModel that `save_saved_model` wrote.
        threads: of OpenVINO; default: as it chooses.

    Raises:
        ImportError: `openvino` is not installed.
        FileNotFoundError: there is no such SavedModel.
        ValueError: it has no signature `portable`.

    Example:

    ```python
    with OpenVinoRuntime("nuclei/1") as run:
        run(canvas, np.int32([[256, 256]]))["boxes"]
    ```
    """

    def __init__(self, filepath: str | os.PathLike, threads: int | None = None):
        try:
            import openvino
        except ImportError as error:
            raise ImportError(
                f"To run {os.fspath(filepath)} in OpenVINO, install it: "
                'pip install "mrcnn-tf[openvino]"'
            ) from error

        path = Path(filepath)
        if not (path / "saved_model.pb").is_file():
            raise FileNotFoundError(f"There is no SavedModel {path}.")
        settings = {"INFERENCE_PRECISION_HINT": "f32"}
        if threads is not None:
            settings["INFERENCE_NUM_THREADS"] = threads
        core = openvino.Core()
        with _portable_alone(path) as folder:
            self._model = core.compile_model(core.read_model(folder), "CPU", settings)
        _, height, width, _ = self._model.input("images").shape
        self._outputs = {output.get_any_name(): output for output in self._model.outputs}
        labels = json.loads((path / LABELS).read_text(encoding="utf-8"))
        super().__init__((height, width), labels)

    def __call__(self, images: np.ndarray, image_sizes: np.ndarray) -> dict[str, np.ndarray]:
        start = time.perf_counter()
        values = self._model({"images": images, "image_sizes": image_sizes})
        found = {name: values[output].copy() for name, output in sorted(self._outputs.items())}
        self.seconds = time.perf_counter() - start
        return found

    def close(self) -> None:
        self._model = None


@contextlib.contextmanager
def _portable_alone(path: Path) -> Iterator[str]:
    """The SavedModel with `portable` as its only signature, under the name that is looked for."""
    saved = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    signatures = saved.meta_graphs[0].signature_def
    if SIGNATURE not in signatures:
        raise ValueError(f"{path} has no signature {SIGNATURE!r}: export it again.")
    for name in list(signatures):
        if name not in (SIGNATURE, "__saved_model_init_op"):
            del signatures[name]
    signatures["serving_default"].CopyFrom(signatures[SIGNATURE])
    del signatures[SIGNATURE]
    with tempfile.TemporaryDirectory(prefix="mrcnn-tf-") as folder:
        Path(folder, "saved_model.pb").write_bytes(saved.SerializeToString())
        for name in ("variables", "assets"):
            Path(folder, name).symlink_to((path / name).absolute(), target_is_directory=True)
        yield folder
