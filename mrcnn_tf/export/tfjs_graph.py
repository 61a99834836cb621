"""The graph that the TF.js converter is given, and what has to be true of what it makes of it."""

from __future__ import annotations

import base64
import typing

import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

_SUMS = ("Add", "AddV2")
_PRODUCTS = ("Conv2D", "DepthwiseConv2dNative", "MatMul")
# What the converter folds into the weights of a product, or leaves out.
_FOLDED = (
    *("Identity", "StopGradient", "Mul", "RealDiv", "BiasAdd", "Sub"),
    *("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3", "Squeeze", "Reshape"),
)


def tfjs_graph(function: tf.types.experimental.ConcreteFunction) -> tf.compat.v1.GraphDef:
    """A portable function as one graph, with a node by the name of every output.

    After folding what it can into weights, the converter takes every sum with a convolution or a
    matrix product in front for one with a bias: `conv(x) + y` loses its broadcasting, or ends in
    an error of the backend, or is silently wrong. Here such sums become what it leaves alone,
    `AddN` of equal shapes, and those with a bias, of any rank, become `BiasAdd` of a vector.

    Args:
        function: a function with known shapes and named outputs, see `read_portable`.
    """
    constant = convert_variables_to_constants_v2(
        function, lower_control_flow=False, aggressive_inlining=True
    )
    graph = constant.graph.as_graph_def()
    outputs = sorted(function.structured_outputs)
    for name, tensor in zip(outputs, constant.outputs, strict=True):
        node = graph.node.add(op="Identity", name=name, input=[tensor.name])
        node.attr["T"].type = tensor.dtype.as_datatype_enum
    nodes = {node.name: node for node in graph.node}
    for node in list(graph.node):
        if node.op in _SUMS and any(_is_product(nodes, name) for name in node.input[:2]):
            _rewrite_sum(graph, nodes, node, constant.graph)
    return graph


def check_biases(topology: dict[str, typing.Any], shapes: dict[str, list[int]]) -> None:
    """Refuse a converted model in which something else than a bias became one.

    Args:
        topology: `modelTopology` of a `model.json`.
        shapes: of every weight, by name.

    Raises:
        RuntimeError: there is such a node.
    """
    for node in topology["node"]:
        fused = node.get("attr", {}).get("fused_ops", {}).get("list", {}).get("s", [])
        if node["op"] == "BiasAdd":
            bias = node["input"][1]
        elif fused and "BiasAdd" in map(_text, fused):
            bias = node["input"][2]
        else:
            continue
        if len(shapes.get(bias.partition(":")[0], ())) != 1:
            raise RuntimeError(
                f"the TF.js converter made {node['op']} {node['name']!r} of a sum that has no "
                "bias: the model would be wrong in the browser. Please report this with the model."
            )


def _text(encoded: str) -> str:
    return base64.b64decode(encoded).decode()


def _is_product(nodes, name: str) -> bool:
    """Whether a tensor is a product, or what the converter may make one of."""
    node = nodes[name.partition(":")[0]]
    while node.op in _FOLDED:
        # The other one is a factor or a bias; where both are computed, nothing is folded.
        first, *rest = [nodes[i.partition(":")[0]] for i in node.input if not i.startswith("^")]
        node = rest[0] if first.op == "Const" and rest else first
    return node.op in _PRODUCTS


def _rewrite_sum(graph, nodes, node, traced: tf.Graph) -> None:
    shape = traced.get_tensor_by_name(f"{node.name}:0").shape
    operands = [traced.get_tensor_by_name(i if ":" in i else f"{i}:0") for i in node.input[:2]]
    for product, other in (operands, operands[::-1]):
        constant, size = nodes[other.op.name], other.shape.num_elements()
        if constant.op != "Const" or product.shape != shape:
            continue
        if size == 1 or size == other.shape[-1] == shape[-1]:
            values = np.ravel(tf.make_ndarray(constant.attr["value"].tensor))
            bias = _constant(graph, f"{node.name}/bias", np.broadcast_to(values, [shape[-1]]))
            node.op = "BiasAdd"
            node.attr["data_format"].s = b"NHWC"
            node.input[:2] = [product.name, bias]
            return
    names = [_broadcast(graph, node, i, tensor, shape) for i, tensor in enumerate(operands)]
    node.op = "AddN"
    node.attr["N"].i = 2
    node.input[:2] = names


def _broadcast(graph, node, number: int, tensor, shape) -> str:
    if tensor.shape == shape:
        return tensor.name
    target = _constant(graph, f"{node.name}/shape_{number}", np.int32(shape))
    added = graph.node.add(
        op="BroadcastTo", name=f"{node.name}/broadcast_{number}", input=[tensor.name, target]
    )
    added.attr["T"].type = tensor.dtype.as_datatype_enum
    added.attr["Tidx"].type = tf.int32.as_datatype_enum
    return added.name


def _constant(graph, name: str, values: np.ndarray) -> str:
    added = graph.node.add(op="Const", name=name)
    added.attr["dtype"].type = tf.as_dtype(values.dtype).as_datatype_enum
    added.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(values))
    return name
