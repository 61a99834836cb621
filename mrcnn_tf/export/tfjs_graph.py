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
    `AddN` of equal shapes, and those with a bias, of any rank, become `BiasAdd` of a vector. Two
    more operations, which are slow in WebAssembly, become others that give the same.

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
        elif node.op == "GatherV2":
            _rewrite_gather(graph, nodes, node, constant.graph)
        elif node.op == "Conv2DBackpropInput":
            _rewrite_doubling(graph, nodes, node, constant.graph)
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


def _rewrite_gather(graph, nodes, node, traced: tf.Graph) -> None:
    """Gathers of rows as `GatherNd`, which copies whole rows: a hundred times as fast."""
    rows, indices = (traced.get_tensor_by_name(i if ":" in i else f"{i}:0") for i in node.input[:2])
    axis = nodes[node.input[2].partition(":")[0]]
    is_first = axis.op == "Const" and tf.make_ndarray(axis.attr["value"].tensor) == 0
    if not is_first or node.attr["batch_dims"].i or rows.shape.rank < 2:
        return
    shape = _constant(graph, f"{node.name}/shape", np.int32([*indices.shape, 1]))
    places = graph.node.add(op="Reshape", name=f"{node.name}/places")
    places.input.extend([indices.name, shape])
    places.attr["T"].type = indices.dtype.as_datatype_enum
    places.attr["Tshape"].type = tf.int32.as_datatype_enum
    node.op = "GatherNd"
    node.input[:3] = [rows.name, places.name]
    del node.attr["batch_dims"], node.attr["Taxis"]


def _rewrite_doubling(graph, nodes, node, traced: tf.Graph) -> None:
    """Transposed 2 x 2 convolutions of stride 2 as one 1 x 1 convolution for every other row."""
    kernel = nodes[node.input[1].partition(":")[0]]
    while kernel.op == "Identity":
        kernel = nodes[kernel.input[0].partition(":")[0]]
    if kernel.op != "Const" or list(node.attr["strides"].list.i) != [1, 2, 2, 1]:
        return
    values = tf.make_ndarray(kernel.attr["value"].tensor)  # [2, 2, out, in]
    if values.shape[:2] != (2, 2) or node.attr["data_format"].s != b"NHWC":
        return
    batch, height, width, channels = traced.get_tensor_by_name(f"{node.name}:0").shape
    line = _constant(graph, f"{node.name}/line", np.int32([batch, height // 2, width * channels]))
    rows = []
    for number, of_row in enumerate(values):
        weights = of_row.reshape(1, 1, 2 * channels, -1).transpose(0, 1, 3, 2)
        weights = _constant(graph, f"{node.name}/kernel_{number}", weights)
        row = graph.node.add(op="Conv2D", name=f"{node.name}/row_{number}")
        row.input.extend([node.input[2], weights])
        row.attr["T"].CopyFrom(node.attr["T"])
        row.attr["strides"].list.i.extend([1, 1, 1, 1])
        row.attr["padding"].s = b"VALID"
        rows.append(_reshape(graph, f"{node.name}/line_{number}", row, line))
    pack = graph.node.add(op="Pack", name=f"{node.name}/rows", input=rows)
    pack.attr["T"].CopyFrom(node.attr["T"])
    pack.attr["N"].i, pack.attr["axis"].i = 2, 2
    shape = _constant(graph, f"{node.name}/shape", np.int32([batch, height, width, channels]))
    node.op = "Reshape"
    node.input[:3] = [pack.name, shape]
    node.attr.clear()
    node.attr["T"].CopyFrom(pack.attr["T"])
    node.attr["Tshape"].type = tf.int32.as_datatype_enum


def _reshape(graph, name: str, tensor, shape: str) -> str:
    added = graph.node.add(op="Reshape", name=name, input=[tensor.name, shape])
    added.attr["T"].CopyFrom(tensor.attr["T"])
    added.attr["Tshape"].type = tf.int32.as_datatype_enum
    return name


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
