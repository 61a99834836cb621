import base64

import numpy as np
import pytest
import tensorflow as tf

from mrcnn_tf.export.tfjs_graph import check_biases, tfjs_graph

PRODUCTS = ("Conv2D", "DepthwiseConv2dNative", "MatMul")


def sums():
    """A function of sums with products in them, one output each; y is no constant."""
    values = np.random.default_rng(0).normal(size=(3, 3, 4, 4)).astype(np.float32)
    kernel, other, depthwise = tf.constant(values), tf.constant(values[::-1]), values[..., :1]
    vector, scale = tf.constant(values[0, 0, 0]), tf.constant(np.abs(values[0, 0, 1]) + 0.5)

    specs = [tf.TensorSpec([1, 4, 4, 4], name="x"), tf.TensorSpec([1, 1, 1, 4], name="y")]

    @tf.function(input_signature=specs, autograph=False)
    def function(x, y):
        def conv(kernel):
            return tf.nn.conv2d(x, kernel, 1, "SAME")

        rows = tf.reshape(x, [-1, 4])
        return {
            "two": tf.nn.relu(conv(kernel) + conv(other)),
            "shortcut": tf.nn.relu(conv(kernel) + x),
            "folded": tf.nn.relu(conv(kernel) * scale + x),
            "broadcast": tf.nn.relu(conv(kernel) + y),
            "behind": y + conv(kernel),
            "depthwise_sum": tf.nn.depthwise_conv2d(x, depthwise, [1] * 4, "SAME") + x,
            "matmul": tf.matmul(rows, values[0, 0]) + rows,
            "bias": tf.nn.relu(conv(kernel) + vector),
            "scalar": tf.nn.relu(conv(kernel) + 0.5),
            "bias_of_rank_4": conv(kernel) + tf.constant(values[:1, :1, :1, 0]),
            "rows": tf.gather(rows, tf.constant([[3, 1], [0, 3]]))
            + tf.gather(rows, [0, 1], axis=0)[:1],
            "columns": tf.gather(rows, [3, 0], axis=1),
            "doubled": tf.nn.conv2d_transpose(x, values[:2, :2], [1, 8, 8, 4], 2, "VALID"),
            "tripled": tf.nn.conv2d_transpose(x, values, [1, 12, 12, 4], 3, "VALID"),
            "of_rows": conv(kernel) + tf.constant(values[0, 0, :, 0])[None, :, None, None],
        }

    return function


def inputs():
    random = np.random.default_rng(1)
    return tuple(random.normal(size=s).astype(np.float32) for s in ((1, 4, 4, 4), (1, 1, 1, 4)))


def test_the_graph_for_the_converter_computes_the_same():
    function = sums().get_concrete_function()
    graph = tfjs_graph(function)
    nodes = {node.name: node for node in graph.node}
    for node in graph.node:
        if node.op in ("Add", "AddV2"):
            assert nodes[node.input[0].partition(":")[0]].op not in PRODUCTS, node.name
        if node.op == "BiasAdd":
            bias = tf.make_ndarray(nodes[node.input[1].partition(":")[0]].attr["value"].tensor)
            assert bias.shape == (4,)
    assert [node.op for node in graph.node].count("BiasAdd") == 3
    used = [node.op for node in graph.node]
    assert used.count("GatherNd") == 2 and used.count("GatherV2") == 1  # columns are left alone
    assert used.count("Pack") == 1 and used.count("Conv2DBackpropInput") == 1  # tripled
    x, y = inputs()
    expected = function(x=tf.constant(x), y=tf.constant(y))
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.import_graph_def(graph, name="")
        found = session.run({name: f"{name}:0" for name in expected}, {"x:0": x, "y:0": y})
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=1e-5, err_msg=name)


def test_a_bias_that_is_none_is_refused():
    names = [base64.b64encode(name).decode() for name in (b"BiasAdd", b"Relu")]
    fused = {
        "name": "block/add",
        "op": "_FusedConv2D",
        "input": ["x", "kernel", "bias"],
        "attr": {"fused_ops": {"list": {"s": names}}},
    }
    add = {"name": "head/add", "op": "BiasAdd", "input": ["x", "bias"]}
    plain = {"name": "sum", "op": "AddN", "input": ["x", "y"]}
    check_biases({"node": [fused, add, plain]}, {"kernel": [1, 1, 4, 4], "bias": [4]})
    for node in (fused, add):
        for shapes in ({"bias": [1, 1, 1, 4]}, {}):
            with pytest.raises(RuntimeError, match=f"{node['op']} '{node['name']}' of a sum"):
                check_biases({"node": [node, plain]}, shapes)
