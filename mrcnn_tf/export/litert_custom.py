"""The compiled ops in a `.tflite` file, and the delegate that runs them."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import flatbuffers
from flatbuffers import flexbuffers

import mrcnn_tf
from mrcnn_tf.export.litert_file import operators, unpack

CUSTOM_OPERATORS = ("MrcnnRoiAlign", "MrcnnNms", "MrcnnProposals")

_LIBRARY = Path(mrcnn_tf.__file__).parent / "ops" / "libmrcnn_litert.so"
_MODES = (b"hard", b"linear", b"gaussian")


def litert_delegate() -> Path:
    """The library of the external delegate that runs files of `save_litert(custom_ops=True)`.

    `ai_edge_litert.interpreter.load_delegate(litert_delegate())` opens it; other programs give its
    path to LiteRT as that of an external delegate.

    Raises:
        FileNotFoundError: it was not built.
    """
    if not _LIBRARY.is_file():
        raise FileNotFoundError(
            f"There is no {_LIBRARY}: it is built with the compiled ops, see to a C++17 compiler "
            "and install mrcnn-tf again."
        )
    return _LIBRARY


def needs_delegate(filepath: str | os.PathLike) -> bool:
    """Whether a file holds compiled ops."""
    used = operators(Path(filepath).read_bytes())
    return any(f"custom {name}" in used for name in CUSTOM_OPERATORS)


def pack_settings(content: bytes) -> bytes:
    """The bytes of a model whose custom operators have settings that the delegate reads.

    The converter writes attributes of custom operators as flexbuffers, which take a library to
    read. The delegate reads 4 bytes for each setting, in the order of `_settings`.
    """
    model = unpack(content)
    for operator in model.subgraphs[0].operators:
        name = model.operatorCodes[operator.opcodeIndex].customCode
        if name is not None:
            attributes = flexbuffers.Loads(bytes(operator.customOptions))
            operator.customOptions = list(_settings(name.decode(), attributes))
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _settings(name: str, attributes: dict) -> bytes:
    integers, floats = [], []
    if name == "MrcnnRoiAlign":
        keys = ("output_height", "output_width", "sampling_ratio", "aligned")
        strides, floats = attributes["strides"], attributes["level_areas"]
        integers = [*(int(attributes[key]) for key in keys), len(strides), *strides]
    elif name == "MrcnnNms":
        mode = attributes["mode"]
        mode = mode.encode() if isinstance(mode, str) else bytes(mode)
        integers = [attributes["max_output"], attributes["pre_nms_top_n"], _MODES.index(mode)]
        floats = [attributes[key] for key in ("iou_threshold", "score_threshold", "sigma")]
    elif name == "MrcnnProposals":
        integers = [attributes["pre_nms_top_n"], attributes["post_nms_top_n"]]
        floats = [attributes[key] for key in ("nms_threshold", "min_size")]
    return struct.pack(f"<{len(integers)}i{len(floats)}f", *integers, *floats)
