"""Which operations leave TensorFlow with the model."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from mrcnn_tf.export import trace_model
from mrcnn_tf.layers import KeypointDecoding, KeypointHead
from mrcnn_tf.models import MaskRCNN

from .conftest import blocks


def listed(name):
    lines = Path(__file__).with_name(name).read_text().splitlines()
    return {line for line in lines if line and not line.startswith("#")}


def operations(graph):
    """Names of all ops of a GraphDef, those in the functions of its library included."""
    nodes = [*graph.node, *(n for function in graph.library.function for n in function.node_def)]
    return {node.op for node in nodes} - {
        function.signature.name for function in graph.library.function
    }


@pytest.fixture(scope="module")
def fixed_shape(tiny_model):
    """The model for one image of 128 x 128, variables turned into constants."""
    images = tf.TensorSpec([1, 128, 128, 3], tf.uint8, name="images")
    return convert_variables_to_constants_v2(trace_model(tiny_model, images))


def test_a_saved_model_holds_core_ops_only(exported):
    saved = saved_model_pb2.SavedModel.FromString((exported / "saved_model.pb").read_bytes())
    used = operations(saved.meta_graphs[0].graph_def)
    assert "NonMaxSuppressionV4" in used
    assert used - listed("tfjs_ops.txt") - listed("saved_model_ops.txt") == set()


def test_the_model_keeps_to_the_ops_of_tfjs(fixed_shape):
    used = operations(fixed_shape.graph.as_graph_def())
    assert "NonMaxSuppressionV4" in used and "ReadVariableOp" not in used
    assert used - listed("tfjs_ops.txt") == set()


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


@pytest.mark.slow
def test_litert_runs_the_model_with_what_is_built_in(fixed_shape, tiny_model):
    converter = tf.lite.TFLiteConverter.from_concrete_functions([fixed_shape])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    content = converter.convert()

    names = {code: name for name, code in vars(schema.BuiltinOperator).items() if name[0] != "_"}
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content))
    used = {names[code.builtinCode] for code in model.operatorCodes}
    assert "NON_MAX_SUPPRESSION_V4" in used
    assert used - listed("litert_builtins.txt") == set()
    assert not any(code.customCode for code in model.operatorCodes)

    images = blocks(1, 128, 128, seed=2)
    expected = tiny_model.predict(images, verbose=0)
    assert expected["num_detections"][0] > 0
    interpreter = tf.lite.Interpreter(model_content=content)
    interpreter.allocate_tensors()
    for detail in interpreter.get_input_details():
        is_images = len(detail["shape"]) == 4
        value = images if is_images else np.array([[128, 128]], np.int32)
        interpreter.set_tensor(detail["index"], value)
    interpreter.invoke()
    details = interpreter.get_output_details()
    assert len(details) == len(expected)
    for detail, name in zip(details, sorted(expected), strict=True):
        np.testing.assert_allclose(
            interpreter.get_tensor(detail["index"]),
            expected[name],
            rtol=1e-4,
            atol=1e-3,
            err_msg=name,
        )
