"""The graph model of TensorFlow.js, in Node.js and in Chromium."""

from __future__ import annotations

import abc
import base64
import json
import os
import shutil
import subprocess
import tempfile
import typing
from pathlib import Path

import numpy as np

from mrcnn_tf.export.npm_packages import npm_packages
from mrcnn_tf.export.runtimes.chromium import Chromium
from mrcnn_tf.export.runtimes.file_server import FileServer
from mrcnn_tf.export.runtimes.runtime import Runtime

VERSION = "4.22.0"
PACKAGES = {
    f"@tensorflow/tfjs-{part}": VERSION
    for part in ("core", "converter", "backend-cpu", "backend-wasm")
}
_TIMEOUT = 600.0  # seconds; a large model on a slow machine
_DTYPES = {"float32": np.float32, "int32": np.int32, "bool": np.uint8}
_SCRIPTS = Path(__file__).parent
_PAGE = """<!doctype html><meta charset="utf-8"><title>TensorFlow.js</title>
<script src="modules/@tensorflow/tfjs-core/dist/tf-core.min.js"></script>
<script src="modules/@tensorflow/tfjs-converter/dist/tf-converter.min.js"></script>
<script src="modules/@tensorflow/tfjs-backend-cpu/dist/tf-backend-cpu.min.js"></script>
<script src="modules/@tensorflow/tfjs-backend-wasm/dist/tf-backend-wasm.min.js"></script>
<script src="tfjs_calls.js"></script>
"""
# TensorFlow.js asks for all files before it reads one. A browser that may not cache them asks for
# six and waits until one is read.
_START = """(async () => {
  tf.wasm.setWasmPaths("modules/@tensorflow/tfjs-backend-wasm/dist/");
  if (!(await tf.setBackend("wasm"))) throw new Error("the wasm backend does not start");
  const fetchFunc = async (...given) => new Response(await (await fetch(...given)).arrayBuffer());
  window.model = await tf.loadGraphModel("model/model.json", {fetchFunc});
})()"""


class _TfjsRuntime(Runtime):
    def __init__(self, filepath: str | os.PathLike):
        self.folder = Path(filepath).absolute()
        try:
            document = json.loads((self.folder / "model.json").read_text(encoding="utf-8"))
            labels = json.loads((self.folder / "labels.json").read_text(encoding="utf-8"))
            dimensions = document["signature"]["inputs"]["images"]["tensorShape"]["dim"]
        except (OSError, KeyError, json.JSONDecodeError) as error:
            raise ValueError(
                f"{filepath} is no TensorFlow.js model of this package ({error!r}): "
                "export it again."
            ) from error
        super().__init__(tuple(int(dim["size"]) for dim in dimensions[1:3]), labels)

    def __call__(self, images: np.ndarray, image_sizes: np.ndarray) -> dict[str, np.ndarray]:
        pixels = np.ascontiguousarray(images, np.uint8)
        answer = self._ask(
            {
                "pixels": base64.b64encode(pixels).decode(),
                "shape": pixels.shape,
                "sizes": np.asarray(image_sizes).tolist(),
            }
        )
        self.seconds = answer["seconds"]
        return {
            name: np.frombuffer(base64.b64decode(value["data"]), _DTYPES[value["dtype"]]).reshape(
                value["shape"]
            )
            for name, value in answer["outputs"].items()
        }

    @abc.abstractmethod
    def _ask(self, request: dict[str, typing.Any]) -> dict[str, typing.Any]:
        """What `callModel` of `tfjs_calls.js` answers."""


class TfjsNodeRuntime(_TfjsRuntime):
    """In Node.js, by its WebAssembly backend, in a process that stays.

    Raises:
        FileNotFoundError: there is no Node.js.
        OSError: TensorFlow.js could not be fetched from npm.
        RuntimeError: it does not load the model, or fails in a call.
        ValueError: the folder is no export of a model.

    Example:

    ```python
    with TfjsNodeRuntime("nuclei-tfjs") as run:
        run(canvas, np.int32([[256, 256]]))["boxes"]
    ```
    """

    def __init__(self, filepath: str | os.PathLike):
        super().__init__(filepath)
        node = shutil.which("node")
        if node is None:
            raise FileNotFoundError(
                "node is needed, and is not there: install Node.js 18 or newer."
            )
        modules = npm_packages(PACKAGES)
        self._log = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 - see close
        self._process = subprocess.Popen(
            [node, str(_SCRIPTS / "tfjs_node.js"), str(modules), str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        try:
            self._answer()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if not self._log.closed:
            self._process.kill()
            self._process.communicate()
            self._log.close()

    def _ask(self, request: dict[str, typing.Any]) -> dict[str, typing.Any]:
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, typing.Any]:
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._log.seek(0)
            said = " ".join(self._log.read().split())[-500:]
            raise RuntimeError(f"Node.js ended by {self._process.returncode}: {said}")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"TensorFlow.js with {self.folder} in Node.js: {answer['error']}")
        return answer


class TfjsChromiumRuntime(_TfjsRuntime):
    """In a page of Chromium, by its WebAssembly backend with threads.

    Raises:
        FileNotFoundError: there is no Chromium.
        OSError: TensorFlow.js could not be fetched from npm.
        RuntimeError: it does not load the model, or fails in a call.
        ValueError: the folder is no export of a model.

    Example:

    ```python
    with TfjsChromiumRuntime("nuclei-tfjs") as run:
        run(canvas, np.int32([[256, 256]]))["boxes"]
    ```
    """

    def __init__(self, filepath: str | os.PathLike):
        super().__init__(filepath)
        modules = npm_packages(PACKAGES)
        self._site = tempfile.TemporaryDirectory(prefix="mrcnn-tf-")
        site = Path(self._site.name)
        (site / "index.html").write_text(_PAGE, encoding="utf-8")
        shutil.copyfile(_SCRIPTS / "tfjs_calls.js", site / "tfjs_calls.js")
        (site / "modules").symlink_to(modules)
        (site / "model").symlink_to(self.folder)
        self._page = self._server = None
        try:
            # Chromium gives threads of WebAssembly to isolated pages alone.
            self._server = FileServer(site, isolated=True)
            self._page = Chromium(timeout=_TIMEOUT)
            self._page.open(self._server.url)
            self._page.evaluate(_START)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        for part in (self._page, self._server):
            if part is not None:
                part.close()
        self._site.cleanup()

    def _ask(self, request: dict[str, typing.Any]) -> dict[str, typing.Any]:
        return self._page.evaluate(f"callModel(tf, window.model, {json.dumps(request)})")
