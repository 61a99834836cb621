"""Which operations leave TensorFlow with the model."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from mrcnn_tf.export import trace_model
from mrcnn_tf.layers import KeypointDecoding, KeypointHead
from mrcnn_tf.models import MaskRCNN


def listed(name):
    lines = Path(__file__).with_name(name).read_text().splitlines()
    return {line for line in lines if line and not line.startswith("#")}


def operations(graph):
    """Names of all ops of a GraphDef, those in the functions of its library included."""
    nodes = [*graph.node, *(n for function in graph.library.function for n in function.node_def)]
    return {node.op for node in nodes} - {
        function.signature.name for function in graph.library.function
    }


def test_a_saved_model_holds_core_ops_only(exported):
    saved = saved_model_pb2.SavedModel.FromString((exported / "saved_model.pb").read_bytes())
    used = operations(saved.meta_graphs[0].graph_def)
    assert "NonMaxSuppressionV4" in used
    assert used - listed("tfjs_ops.txt") - listed("saved_model_ops.txt") == set()


def test_the_model_keeps_to_the_ops_of_tfjs(large_portable):
    used = operations(large_portable.function.graph.as_graph_def())
    assert "NonMaxSuppressionV4" in used and "ReadVariableOp" not in used
    # A converter makes a called function part of the graph.
    assert used - listed("tfjs_ops.txt") - {"PartitionedCall"} == set()


@pytest.mark.parametrize(
    "arguments",
    [
        {"backbone": "efficientnet_lite0", "norm": "batch_norm", "class_agnostic_masks": True},
        {"backbone": "resnet18", "sampling_ratio": 0, "class_agnostic_boxes": True},
        {"backbone": "resnet18", "nms_method": "soft_linear"},
        {"backbone": "resnet18", "nms_method": "soft_gaussian"},
        {
            "backbone": "resnet18",
            "norm": "group_norm",
            "fpn_norm": "batch_norm",
            "head_norm": "group_norm",
            "box_conv": (32,),
            "mask_channels": 32,
        },
        {"backbone": "keras/MobileNetV3Small"},
        pytest.param({"backbone": "keras/ConvNeXtTiny"}, marks=pytest.mark.slow),
        pytest.param({"backbone": "keras/ResNet50"}, marks=pytest.mark.slow),
        {"backbone": "resnet18", "keypoints": 5},
        {"backbone": "resnet18", "keypoints": 5, "keypoint_decoding": "detectron2"},
    ],
    ids=[
        "efficientnet_lite0",
        "adaptive sampling",
        "soft_linear",
        "soft_gaussian",
        "group_norm",
        "keras, inverted bottlenecks",
        "keras, layer normalisation",
        "keras, BGR",
        "keypoints",
        "keypoints as detectron2",
    ],
)
def test_other_models_keep_to_the_ops_of_tfjs(arguments):
    sizes = {
        "fpn_channels": 16,
        "box_fc": (8,),
        "mask_channels": 8,
        "mask_convs": 1,
        "keypoint_channels": 8,
        "keypoint_convs": 1,
    }
    model = MaskRCNN(num_classes=2, **{**sizes, **arguments})
    images = tf.TensorSpec([1, 64, 64, 3], tf.uint8, name="images")
    used = operations(trace_model(model, images).graph.as_graph_def())
    # Variables become constants and called functions part of the graph.
    assert used - listed("tfjs_ops.txt") - {"ReadVariableOp"} == set()


@pytest.mark.parametrize("decoding", ["grid", "detectron2"])
def test_litert_reads_joints_with_what_is_built_in(decoding):
    head, decode = KeypointHead(8, 5, channels=16, num_convs=1), KeypointDecoding(decoding)
    specs = [tf.TensorSpec([1, 3, 14, 14, 8]), tf.TensorSpec([1, 3, 4])]
    function = tf.function(lambda pooled, boxes: decode(head(pooled), boxes), autograph=False)
    concrete = convert_variables_to_constants_v2(function.get_concrete_function(*specs))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    interpreter = tf.lite.Interpreter(model_content=converter.convert())
    interpreter.allocate_tensors()
    pooled = np.random.default_rng(0).normal(size=specs[0].shape).astype(np.float32)
    boxes = np.float32([[[10, 20, 90, 60], [0, 0, 30.5, 80.25], [0, 0, 0, 0]]])
    for detail in interpreter.get_input_details():
        value = pooled if len(detail["shape"]) == 5 else boxes
        interpreter.set_tensor(detail["index"], value)
    interpreter.invoke()
    found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_allclose(found, function(pooled, boxes), rtol=1e-4, atol=1e-4)
