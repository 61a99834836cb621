"""The web page in Chromium."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import numpy as np

from mrcnn_tf.export.runtimes.chromium import Chromium
from mrcnn_tf.export.runtimes.file_server import FileServer
from mrcnn_tf.export.runtimes.runtime import Runtime

_DTYPES = {"Float32Array": np.float32, "Int32Array": np.int32}
# The page's own detector; arrays travel as text, since the protocol is JSON.
_DETECT = """(async (pixels, height, width) => {
  const bytes = Uint8Array.from(atob(pixels), (character) => character.charCodeAt(0));
  const { outputs, milliseconds } = await mrcnn.detector.detect(bytes, height, width);
  const text = (array) => {
    const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    let binary = "";
    for (let i = 0; i < bytes.length; i += 32768) {
      binary += String.fromCharCode(...bytes.subarray(i, i + 32768));
    }
    return { type: array.constructor.name, data: btoa(binary) };
  };
  const arrays = Object.fromEntries(Object.entries(outputs).map(([k, v]) => [k, text(v)]));
  return { arrays, milliseconds };
})"""
_STARTED = """(async () => {
  while (!window.mrcnn && document.getElementById("error").hidden) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  if (!window.mrcnn) throw new Error(document.getElementById("error").textContent);
  return mrcnn.detector.started;
})()"""


class WebRuntime(Runtime):
    """The detector of a page that `save_web` wrote, in Chromium, with the page around it.

    Args:
        filepath: the folder.
        engine: `"litert"` or `"tfjs"`; default: what the page takes by itself.
        isolated: serve it with the headers that allow threads, see `FileServer`.

    Attributes:
        engine: what runs the model, `"LiteRT.js"`, `"TF.js (wasm)"` or `"TF.js (cpu)"`.
        threads: how many it uses.
        page: the `Chromium`.

    Raises:
        FileNotFoundError: there is no browser, see `find_chromium`.
        RuntimeError: the page cannot start the model.
        ValueError: the folder holds no page.

    Example:

    ```python
    with WebRuntime("site") as run:
        run(canvas, np.int32([[256, 256]]))["boxes"]
    ```
    """

    def __init__(
        self, filepath: str | os.PathLike, engine: str | None = None, isolated: bool = False
    ):
        try:
            about = json.loads(Path(filepath, "detector.json").read_text(encoding="utf-8"))
        except OSError:
            raise ValueError(
                f"{os.fspath(filepath)} holds no detector.json: it is no page written by export."
            ) from None
        super().__init__(tuple(about["size"]), about["labels"])
        self.page = None
        self._server = FileServer(filepath, isolated)
        try:
            self.page = Chromium(timeout=600.0)
            self.page.open(self._server.url + (f"?engine={engine}" if engine else ""))
            started = self.page.evaluate(_STARTED)
        except BaseException:
            self.close()
            raise
        self.engine, self.threads = started["name"], started["threads"]

    def __call__(self, images: np.ndarray, image_sizes: np.ndarray) -> dict[str, np.ndarray]:
        pixels = base64.b64encode(np.ascontiguousarray(images, np.uint8)).decode()
        height, width = (int(side) for side in image_sizes[0])
        answer = self.page.evaluate(f"{_DETECT}({json.dumps(pixels)}, {height}, {width})")
        self.seconds = answer["milliseconds"] / 1000
        arrays = {
            name: np.frombuffer(base64.b64decode(array["data"]), _DTYPES[array["type"]])
            for name, array in sorted(answer["arrays"].items())
        }
        rows = len(arrays["scores"])
        return {name: _in_rows(name, array, rows) for name, array in arrays.items()}

    def close(self) -> None:
        if self.page is not None:
            self.page.close()
        self._server.close()


def _in_rows(name: str, array: np.ndarray, rows: int) -> np.ndarray:
    """With the shape that it had before the page made a flat list of it."""
    if name == "num_detections":
        return array
    array = array.reshape(1, rows, -1)
    if name == "masks":
        side = int(round(np.sqrt(array.shape[2])))
        return array.reshape(1, rows, side, side)
    if name == "keypoints":
        return array.reshape(1, rows, -1, 3)
    return array if name == "boxes" else array[:, :, 0]
