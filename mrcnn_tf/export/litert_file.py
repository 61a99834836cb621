"""What a `.tflite` file holds: its operators, and the metadata that LiteRT's tools read."""

from __future__ import annotations

import io
import json
import os
import typing
import zipfile

import flatbuffers
import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

# Of the metadata schema of tflite-support, which is no dependency: https://github.com/tensorflow/
# tflite-support/blob/master/tensorflow_lite_support/metadata/metadata_schema.fbs
_METADATA, _METADATA_IDENTIFIER = "TFLITE_METADATA", b"M001"
_LABELS_OF_VALUES = 3  # AssociatedFileType.TENSOR_VALUE_LABELS
_IMAGE_PROPERTIES, _RGB = 2, 1  # ContentProperties, ColorSpaceType

_DESCRIPTIONS = {
    "images": "RGB pixels, 0 to 255, the image in the upper left of the canvas",
    "image_sizes": "height and width of the image",
    "boxes": "x1, y1, x2, y2 in pixels of the image",
    "classes": "line in labels.txt, from 0; -1 where there is no detection",
    "keypoints": "x, y in pixels of the image and the score, for every joint",
    "masks": "probabilities inside the box",
    "num_detections": "how many rows are detections; the rest is padding",
    "scores": "of the class, descending",
}


def operators(content: bytes) -> set[str]:
    """Names of the operators in the bytes of a model: `"CONV_2D"`, `"custom MyOperator"`."""
    model = schema.Model.GetRootAs(content)
    builtins = vars(schema.BuiltinOperator)
    names = {code: name for name, code in builtins.items() if not name.startswith("_")}
    used = set()
    for i in range(model.OperatorCodesLength()):
        code = model.OperatorCodes(i)
        custom = code.CustomCode()
        # Files of old programs have the code in the first of these fields, a byte, alone.
        builtin = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        used.add(f"custom {custom.decode()}" if custom else names[builtin])
    return used


def unpack(content: bytes) -> schema.ModelT:
    """The model in the bytes of a file, with all of its constants in it.

    AI Edge Quantizer leaves constants behind the flatbuffer, and packing would lose them.
    """
    model = schema.ModelT.InitFromPackedBuf(content)
    for buffer in model.buffers:
        if buffer.offset > 1:  # 1 stands for no constant
            buffer.data = np.frombuffer(content, np.uint8, buffer.size, buffer.offset)
        buffer.offset = buffer.size = 0
    return model


def add_metadata(content: bytes, labels: dict[str, typing.Any], name: str) -> bytes:
    """The bytes of a model, with names, descriptions and labels.

    Metadata is a flatbuffer of its own in a buffer of the model, and the files that it names are
    behind the model, in a zip archive: `labels.txt`, a class a line, for tools that draw
    detections, and `labels.json`, all of `labels`.

    Args:
        content: a model with one signature.
        labels: see `model_labels`.
        name: of the model, for people.
    """
    model = unpack(content)
    metadata = schema.MetadataT()
    metadata.name, metadata.buffer = _METADATA, len(model.buffers)
    buffer = schema.BufferT()
    buffer.data = _metadata(model, name)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or []), metadata]
    builder = flatbuffers.Builder(len(content) + 4096)
    builder.Finish(model.Pack(builder), b"TFL3")
    file = io.BytesIO()
    file.write(builder.Output())
    # A name of two lines would be two classes.
    lines = [" ".join(class_name.split()) for class_name in labels["class_names"]]
    with zipfile.ZipFile(file, "a") as archive:
        for member, text in (
            ("labels.txt", "\n".join(lines) + "\n"),
            ("labels.json", json.dumps(labels, indent=1, ensure_ascii=False) + "\n"),
        ):
            # A fixed date: the same model gives the same file.
            archive.writestr(zipfile.ZipInfo(member), text)
    return file.getvalue()


def read_labels(filepath: str | os.PathLike) -> dict[str, typing.Any]:
    """The labels that `add_metadata` put into a file.

    Raises:
        ValueError: there are none.
    """
    try:
        with zipfile.ZipFile(filepath) as archive:
            return json.loads(archive.read("labels.json"))
    except (zipfile.BadZipFile, KeyError):
        raise ValueError(
            f"{os.fspath(filepath)} holds no labels.json: it was not written by export."
        ) from None


def _metadata(model, name: str) -> bytes:
    """The flatbuffer `ModelMetadata`, with one entry for each input and output, in their order."""
    builder = flatbuffers.Builder(1024)
    [signature], graph = model.signatureDefs, model.subgraphs[0]
    sides = []
    for tensors, maps in ((graph.inputs, signature.inputs), (graph.outputs, signature.outputs)):
        names = {entry.tensorIndex: entry.name.decode() for entry in maps}
        sides.append(_vector(builder, [_tensor(builder, names[index]) for index in tensors]))
    inputs, outputs = sides
    subgraph = _vector(builder, [_table(builder, {2: inputs, 3: outputs}, 10)])
    texts = {
        0: name,
        1: "Boxes, classes and instance masks of the objects in an image",
        7: "1.0.0",  # the version of the schema that a reader has to know
    }
    fields = {slot: builder.CreateString(text) for slot, text in texts.items()}
    table = _table(builder, {**fields, 3: subgraph}, 8)
    builder.Finish(table, _METADATA_IDENTIFIER)
    return bytes(builder.Output())


def _tensor(builder, name: str) -> int:
    """A `TensorMetadata`."""
    fields = {0: builder.CreateString(name), 1: builder.CreateString(_DESCRIPTIONS[name])}
    if name == "images":
        properties = _table(builder, {}, 2, bytes_={0: _RGB})
        fields[3] = _table(builder, {1: properties}, 3, bytes_={0: _IMAGE_PROPERTIES})
    if name == "classes":
        file = _table(
            builder, {0: builder.CreateString("labels.txt")}, 5, bytes_={2: _LABELS_OF_VALUES}
        )
        fields[6] = _vector(builder, [file])
    return _table(builder, fields, 7)


def _table(builder, offsets: dict[int, int], size: int, bytes_: dict[int, int] | None = None):
    """A table of `size` fields; offsets to strings, vectors and tables, and bytes, by field."""
    builder.StartObject(size)
    for slot, offset in offsets.items():
        builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
    for slot, value in (bytes_ or {}).items():
        builder.PrependInt8Slot(slot, value, 0)
    return builder.EndObject()


def _vector(builder, offsets: list[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return builder.EndVector()
