"""What a SavedModel says of itself, read without TensorFlow's loader and without the weights."""

import os
from pathlib import Path

import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2


def describe_saved_model(filepath: str | os.PathLike) -> str:
    """Signatures of a SavedModel with names, dtypes and shapes, one input or output a line.

    Only the names and shapes are read, not the weights.
    """
    definitions = _meta_graph(filepath).signature_def
    lines = []
    for name in sorted(definitions):
        if name.startswith("__"):  # TensorFlow's own, which initialises the assets
            continue
        lines.append(f"  {name}")
        sides = (("in ", definitions[name].inputs), ("out", definitions[name].outputs))
        for side, tensors in sides:
            lines += [f"    {side} {key}: {_shape_text(tensors[key])}" for key in sorted(tensors)]
    return "\n".join(lines)


def custom_ops(filepath: str | os.PathLike) -> list[str]:
    """Names of the ops of this package that a SavedModel holds; none by default."""
    ops = _meta_graph(filepath).meta_info_def.stripped_op_list.op
    return sorted(op.name for op in ops if op.name.startswith("Mrcnn"))


def _meta_graph(filepath) -> meta_graph_pb2.MetaGraphDef:
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((Path(filepath) / "saved_model.pb").read_bytes())
    return saved.meta_graphs[0]


def _shape_text(info) -> str:
    sizes = ", ".join("None" if dim.size < 0 else str(dim.size) for dim in info.tensor_shape.dim)
    return f"{tf.as_dtype(info.dtype).name} [{sizes}]"
