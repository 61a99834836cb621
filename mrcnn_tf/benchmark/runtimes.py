"""One model in every program that it can be exported to."""

from __future__ import annotations

import contextlib
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from mrcnn_tf.benchmark.run import usable_cores
from mrcnn_tf.data.shapes import make_scene
from mrcnn_tf.export.canvas import detections
from mrcnn_tf.export.formats import FORMATS
from mrcnn_tf.export.portable import check_portable, read_model
from mrcnn_tf.export.runtimes.kinds import RUNTIMES
from mrcnn_tf.export.runtimes.runtime import Runtime
from mrcnn_tf.export.serving import serving_functions

COMPILED = "tensorflow, compiled ops"
CUSTOM_OPS = "litert-custom-ops"
# LiteRT has two files: one of builtins, one of the compiled ops in its delegate.
SIDES = {**RUNTIMES, CUSTOM_OPS: RUNTIMES["litert"]}
_SUFFIXES = {"litert": ".tflite", "onnx": ".onnx"}


def time_runtimes(
    source: keras.Model | str | os.PathLike,
    size: tuple[int, int] | None = None,
    names: Sequence[str] = tuple(SIDES),
    rounds: int = 7,
    tell: Callable[[str], None] = lambda text: None,
) -> Iterator[dict]:
    """Times a model in each runtime, on the CPU with all its cores, and in TensorFlow as it is.

    The model is exported to a temporary folder. All take turns on the same generated scene, one
    call each a round; what an export costs beside the model with compiled ops is in the first rows.

    Args:
        source: a `MaskRCNN`, a `.keras` file or a preset's name.
        size: height and width of the image, which is the canvas; default: the model's
            `image_size`.
        names: of `SIDES`, which are `RUNTIMES` and `litert-custom-ops`, a file of
            `save_litert(custom_ops=True)`; one that is not installed has a row with the reason.
        rounds: turns of each.
        tell: is told what is about to be done.

    Yields:
        A dict of `runtime`, `size`, `rounds`, `threads`, `ms`, the median of the calls, `ratio` to
        the model with compiled ops, `detections`, and `left_out`, why there is no figure, or None.

    Raises:
        ValueError: no such runtime, no round, or a model that other runtimes cannot run.

    Example:

    ```python
    from mrcnn_tf.benchmark.runtimes import time_runtimes

    for row in time_runtimes("model.keras", rounds=3):
        print(row["runtime"], row["ms"])
    ```
    """
    unknown = [name for name in names if name not in SIDES]
    if unknown:
        raise ValueError(f"no such runtime: {', '.join(unknown)}; there are {', '.join(SIDES)}")
    if rounds < 1:
        raise ValueError(f"rounds must be positive, got {rounds}")
    tell("reading the model")
    model = source if isinstance(source, keras.Model) else read_model(source)
    size = check_portable(model, size)
    shared = {"size": list(size), "rounds": rounds, "threads": usable_cores()}
    image = make_scene(0, 0, max(*size, 96)).image[: size[0], : size[1]]
    left_out = {}
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mrcnn-tf-")))
        sides = {COMPILED: _CompiledOps(model)}
        for name in names:
            tell(f"{name}: export")
            try:
                path = _exported(model, name, folder, size)
                tell(f"{name}: opening")
                sides[name] = stack.enter_context(SIDES[name].open(path))
            except (ImportError, OSError, RuntimeError) as error:
                left_out[name] = str(error)
        canvas, sizes = image[None], np.int32([size])
        found = {}
        for name, side in sides.items():
            tell(f"{name}: the first calls")
            found[name] = [side(canvas, sizes) for _ in range(2)][0]
        times = {name: [] for name in sides}
        for number in range(rounds):
            tell(f"round {number + 1} of {rounds}")
            for name, side in sides.items():
                side(canvas, sizes)
                times[name].append(1e3 * side.seconds)
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name in (COMPILED, *names):
        row = {"runtime": name, **shared, "ms": None, "ratio": None, "detections": None}
        if name in medians:
            row["ms"], row["ratio"] = medians[name], medians[name] / medians[COMPILED]
            row["detections"] = len(detections(found[name])["scores"])
        yield {**row, "left_out": left_out.get(name)}


class _CompiledOps(Runtime):
    """The model in this process, as its compiled ops run it."""

    def __init__(self, model: keras.Model):
        super().__init__(model.image_size, {})
        self._detect = serving_functions(model, ops="compiled")["serve_images"]

    def __call__(self, images: np.ndarray, image_sizes: np.ndarray) -> dict[str, np.ndarray]:
        start = time.perf_counter()
        outputs = self._detect(tf.constant(images))
        outputs = {name: value.numpy() for name, value in outputs.items()}
        self.seconds = time.perf_counter() - start
        return outputs


def _exported(model: keras.Model, name: str, folder: Path, size: tuple[int, int]) -> Path:
    """The model as one of `SIDES` takes it, written unless it is there already."""
    kind, options = SIDES[name].kind, {"custom_ops": True} if name == CUSTOM_OPS else {}
    path = folder / ("-".join([kind, *options]) + _SUFFIXES.get(kind, ""))
    if not path.exists():
        FORMATS[kind].load()(model, path, size=size, **options)
    return path
