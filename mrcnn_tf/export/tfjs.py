"""The graph model of TensorFlow.js, for browsers and Node.js."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import typing
from pathlib import Path

import keras
import tensorflow as tf
from tensorflow.core.framework import types_pb2

from mrcnn_tf.export.portable import LABELS, Portable, read_portable
from mrcnn_tf.export.target import check_target, replacing
from mrcnn_tf.export.tfjs_environment import converter_python
from mrcnn_tf.export.tfjs_graph import check_biases, tfjs_graph

MARKER = "model.json"


def save_tfjs(
    source: keras.Model | str | os.PathLike,
    filepath: str | os.PathLike,
    *,
    size: tuple[int, int] | None = None,
    shard_bytes: int = 4 * 2**20,
    overwrite: bool = True,
) -> str:
    """Write a graph model for TensorFlow.js: `model.json`, its weights in shards, `labels.json`.

    `predictAsync({images, image_sizes})` gives a map of what `portable_function` gives, by the same
    names; `images` are int32 there, since TensorFlow.js has no uint8. The converter is
    `tensorflowjs`, in an environment of its own, see `converter_python`.

    Args:
        source: a `MaskRCNN`, a `.keras` file, a preset's name or a SavedModel written by `export`.
        filepath: the folder to write; missing parents are made.
        size: height and width of the canvas in pixels; default: the model's `image_size`.
        shard_bytes: largest size of a file of weights; browsers cache small files better.
        overwrite: replace a graph model that stands there already.

    Returns:
        What there is to tell: files, inputs and outputs.

    Raises:
        FileExistsError: see `check_target`.
        FileNotFoundError: there is no such source, or see `converter_python`.
        OSError: the converter could not be installed.
        RuntimeError: the converter failed.
        ValueError: see `read_portable`, or `shard_bytes` is too small.

    Example:

    ```python
    model.export("nuclei-tfjs", format="tfjs")
    ```
    """
    if shard_bytes < 1024:
        raise ValueError(f"shard_bytes must be at least 1024, got {shard_bytes}.")
    check_target(filepath, overwrite, MARKER)
    portable = read_portable(source, size)
    graph = tfjs_graph(portable.function)
    python = converter_python()
    with replacing(filepath, overwrite, MARKER) as folder:
        _convert(python, graph, sorted(portable.function.structured_outputs), folder, shard_bytes)
        document = json.loads((folder / MARKER).read_text(encoding="utf-8"))
        check_biases(document["modelTopology"], _shapes(document))
        _name(document, portable)
        (folder / MARKER).write_text(json.dumps(document), encoding="utf-8")
        labels = json.dumps(portable.labels, indent=1, ensure_ascii=False) + "\n"
        (folder / LABELS.name).write_text(labels, encoding="utf-8")
        shards = [path.stat().st_size for path in folder.glob("*.bin")]
    return (
        f"{os.fspath(filepath)} is written: {MARKER} with {sum(shards) / 1e6:.1f} MB of weights in "
        f"{len(shards)} files. Call:\n{_describe(document['signature'])}"
    )


def _convert(python: Path, graph, outputs: list[str], folder: Path, shard_bytes: int) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        frozen = Path(temporary, "portable.pb")
        frozen.write_bytes(graph.SerializeToString())
        command = [
            *(str(python), "-I", "-m", "tensorflowjs.converters.converter"),
            *("--input_format=tf_frozen_model", f"--output_node_names={','.join(outputs)}"),
            f"--weight_shard_size_bytes={shard_bytes}",
            *(str(frozen), str(Path(temporary, "converted"))),
        ]
        # oneDNN's fusions are of ops that TensorFlow.js does not have.
        environment = os.environ | {"TF_ENABLE_ONEDNN_OPTS": "0", "CUDA_VISIBLE_DEVICES": ""}
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, errors="replace"
        )
        converted = Path(temporary, "converted")
        if done.returncode or not (converted / MARKER).is_file():
            said = " ".join(done.stderr.split()[-100:])
            raise RuntimeError(f"the TF.js converter of {python} failed: {said}")
        folder.mkdir()
        for path in converted.iterdir():
            (folder / path.name).write_bytes(path.read_bytes())


def _shapes(document: dict[str, typing.Any]) -> dict[str, list[int]]:
    groups = document["weightsManifest"]
    return {weight["name"]: weight["shape"] for group in groups for weight in group["weights"]}


def _name(document: dict[str, typing.Any], portable: Portable) -> None:
    """Put shapes, dtypes and names into a document; the converter tells tensors by their shapes."""
    inputs = {spec.name: spec for spec in portable.function.structured_input_signature[1].values()}
    outputs = dict(sorted(portable.function.structured_outputs.items()))
    document["signature"] = {
        side: {name: _tensor_info(name, spec) for name, spec in specs.items()}
        for side, specs in (("inputs", inputs), ("outputs", outputs))
    }
    # What `predict` and `predictAsync` call the tensors that they give.
    document["userDefinedMetadata"] = {"structuredOutputKeys": list(outputs)}


def _tensor_info(name: str, spec: tf.TensorSpec) -> dict[str, typing.Any]:
    return {
        "name": f"{name}:0",
        "dtype": types_pb2.DataType.Name(spec.dtype.as_datatype_enum),
        "tensorShape": {"dim": [{"size": str(dim)} for dim in spec.shape]},
    }


def _describe(signature: dict[str, typing.Any]) -> str:
    lines = []
    for side, mark in (("inputs", "in "), ("outputs", "out")):
        for name, info in signature[side].items():
            sizes = ", ".join(dim["size"] for dim in info["tensorShape"]["dim"])
            lines.append(f"  {mark} {name}: {info['dtype'][3:].lower()} [{sizes}]")
    return "\n".join(lines)
