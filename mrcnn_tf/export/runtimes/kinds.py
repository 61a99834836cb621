"""Which program runs which exported model."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mrcnn_tf.export.runtimes.runtime import Runtime


@dataclass(frozen=True)
class Entry:
    """A runtime.

    Attributes:
        kind: of `KINDS`, what it opens.
        target: `module:class` of a `Runtime` that is made of a path.
    """

    kind: str
    target: str

    def open(self, path: str | os.PathLike) -> Runtime:
        """The exported model in this runtime, whose module is imported now and not before.

        Raises:
            ImportError: what runs it is not installed.
            OSError: there is no such export, or no such program, or it could not be fetched.
            ValueError: it was not written by `export`.
        """
        module, name = self.target.split(":")
        module = importlib.import_module(f"mrcnn_tf.export.runtimes.{module}")
        return getattr(module, name)(path)


# How each kind of export is known: by a file in its folder, or by the end of its own name.
KINDS: dict[str, Callable[[Path], bool]] = {
    "saved_model": lambda path: (path / "saved_model.pb").is_file(),
    "web": lambda path: (path / "detector.json").is_file(),
    "tfjs": lambda path: (path / "model.json").is_file(),
    "litert": lambda path: path.suffix == ".tflite",
    "onnx": lambda path: path.suffix == ".onnx",
}
RUNTIMES = {
    "tensorflow": Entry("saved_model", "saved_model:SavedModelRuntime"),
    "openvino": Entry("saved_model", "openvino:OpenVinoRuntime"),
    "chromium": Entry("web", "web:WebRuntime"),
    "tfjs-node": Entry("tfjs", "tfjs:TfjsNodeRuntime"),
    "tfjs-chromium": Entry("tfjs", "tfjs:TfjsChromiumRuntime"),
    "litert": Entry("litert", "litert:LiteRTRuntime"),
    "onnxruntime": Entry("onnx", "onnx:OnnxRuntime"),
}


def kind_of(path: str | os.PathLike) -> str:
    """Which of `KINDS` an export is.

    Raises:
        FileNotFoundError: there is nothing.
        ValueError: it is none of them.
    """
    if not Path(path).exists():
        raise FileNotFoundError(f"There is no {os.fspath(path)}.")
    for kind, is_one in KINDS.items():
        if is_one(Path(path)):
            return kind
    raise ValueError(
        f"{os.fspath(path)} is nothing that export writes: a folder with saved_model.pb or "
        "model.json or detector.json, or a file that ends in .tflite or .onnx."
    )


def runtimes_of(path: str | os.PathLike, name: str | None = None) -> dict[str, Entry]:
    """The runtimes that open an export; `name` if it has to be that one.

    Raises:
        FileNotFoundError: there is no such export.
        ValueError: there is no runtime of that name, or it opens another kind.
    """
    kind = kind_of(path)
    fitting = {key: entry for key, entry in RUNTIMES.items() if entry.kind == kind}
    if name is None:
        return fitting
    if name not in fitting:
        known = "is none" if name not in RUNTIMES else f"does not run {kind}"
        raise ValueError(
            f"Runtime {name!r} {known}: {os.fspath(path)} is run by {', '.join(fitting)}."
        )
    return {name: fitting[name]}
