"""ONNX: for onnxruntime, OpenVINO and whatever else reads it."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from pathlib import Path

import keras
import tensorflow as tf

from mrcnn_tf.export.portable import Portable, read_portable
from mrcnn_tf.export.target import replacing

# The name of the metadata entry that holds what `model_labels` gives, as JSON.
LABELS_ENTRY = "labels"
# What tf2onnx writes: NonMaxSuppression comes with 10, its newest is 18.
OPSETS = (13, 18)


def save_onnx(
    source: keras.Model | str | os.PathLike,
    filepath: str | os.PathLike,
    *,
    size: tuple[int, int] | None = None,
    batch: int | None = None,
    opset: int = OPSETS[1],
    overwrite: bool = True,
) -> str:
    """Write an `.onnx` file of ONNX's own operators, for any number of images at a time.

    Inputs and outputs are those of `portable_function`, by their names. What `model_labels` gives
    is in the file's metadata, as JSON under `labels`.

    Args:
        source: a `MaskRCNN`, a `.keras` file, a preset's name, or with `batch=1` also a SavedModel
            written by `export`.
        filepath: the file to write, `*.onnx`; missing folders are made.
        size: height and width of the canvas in pixels, see `portable_function`; default: the
            model's `image_size`.
        batch: images at a time; None leaves it open, at the price of a loop over the images in each
            NMS, which some compilers do not take.
        opset: version of ONNX's operators, 13 to 18.
        overwrite: replace a file that stands there already.

    Returns:
        What there is to tell: size of the file, inputs and outputs.

    Raises:
        ImportError: `tf2onnx` is not installed.
        FileExistsError: there is a file and `overwrite` is False, or there is a folder.
        ValueError: the path is not a local one or does not end in `.onnx`, an argument is out of
            range, or the model is one that ONNX cannot express.

    Example:

    ```python
    save_onnx("runs/first/best.keras", "bolts.onnx", size=(480, 640))
    session = onnxruntime.InferenceSession("bolts.onnx")
    json.loads(session.get_modelmeta().custom_metadata_map["labels"])["class_names"]
    ```
    """
    if Path(filepath).suffix != ".onnx":
        raise ValueError(f"{os.fspath(filepath)} must end in .onnx.")
    if not OPSETS[0] <= opset <= OPSETS[1]:
        raise ValueError(f"opset must be {OPSETS[0]} to {OPSETS[1]}, got {opset}.")
    if batch is not None and batch < 1:
        raise ValueError(f"batch must be positive, or None for any number, got {batch}.")
    try:
        import onnx
        import tf2onnx  # noqa: F401 - before the minute that the model takes
    except ImportError as error:
        raise ImportError('To write ONNX, install tf2onnx: pip install "mrcnn-tf[onnx]"') from error
    with replacing(filepath, overwrite) as file:
        portable = read_portable(source, size, batch)
        model = _convert(portable, batch, opset, name=Path(filepath).stem)
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, file)
        megabytes = file.stat().st_size / 1e6
    return f"{os.fspath(filepath)} is written, {megabytes:.1f} MB:\n{_describe(model)}"


def _convert(portable: Portable, batch: int | None, opset: int, name: str):
    """The ONNX model, in which what is not ONNX is an error."""
    import tf2onnx

    specs = [
        tf.TensorSpec([batch, *portable.size, 3], tf.uint8, "images"),
        tf.TensorSpec([batch, 2], tf.int32, "image_sizes"),
    ]

    @tf.function(input_signature=specs, autograph=False)
    def detect(images, image_sizes):
        return portable.function(images=images, image_sizes=image_sizes)

    with _quiet("tf2onnx"):
        model, _ = tf2onnx.convert.from_function(detect, input_signature=specs, opset=opset)
    foreign = sorted(_operators(model.graph, {""}))
    if foreign:
        raise ValueError(
            f"The model was not written: ONNX has no {', '.join(foreign)}. Layers of your own have "
            "to keep to common TensorFlow ops."
        )
    model.graph.name = name
    # What tf2onnx calls them differs from output to output.
    for value in (*model.graph.input, *model.graph.output):
        first = value.type.tensor_type.shape.dim[0]
        if first.dim_param:
            first.dim_param = "batch"
    entry = model.metadata_props.add()
    entry.key, entry.value = LABELS_ENTRY, json.dumps(portable.labels, ensure_ascii=False)
    return model


def _operators(graph, without: set[str]) -> set[str]:
    """Operators of a graph and its loops that are of none of these domains, or of no domain's."""
    import onnx

    found = set()
    for node in graph.node:
        known = node.domain in without and onnx.defs.has(node.op_type, node.domain)
        found |= set() if known else {node.op_type}
        for attribute in node.attribute:
            if attribute.HasField("g"):
                found |= _operators(attribute.g, without)
    return found


@contextlib.contextmanager
def _quiet(name: str):
    """Errors alone: what tf2onnx warns of, ops that have no ONNX name, is reported as one error."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


def _describe(model) -> str:
    import onnx

    lines = []
    for side, values in (("in ", model.graph.input), ("out", model.graph.output)):
        for value in sorted(values, key=lambda value: value.name):
            tensor = value.type.tensor_type
            shape = ", ".join(str(d.dim_value or d.dim_param) for d in tensor.shape.dim)
            dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
            lines.append(f"  {side} {value.name}: {dtype} [{shape}]")
    return "\n".join(lines)
