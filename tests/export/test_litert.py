import json
import zipfile

import numpy as np
import pytest
import tensorflow as tf
from flatbuffers import encode, number_types, table
from tensorflow.lite.python import schema_py_generated as schema

from mrcnn_tf.export import model_labels, save_litert
from mrcnn_tf.export.litert import _check_operators
from mrcnn_tf.export.litert_file import operators, read_labels
from mrcnn_tf.export.runtimes import SavedModelRuntime
from mrcnn_tf.losses.mask_head import select_class
from mrcnn_tf.models import MatterportMaskRCNN

from .conftest import blocks
from .test_portable_ops import listed


def members(found, slot):
    """The tables in a field of a table."""
    offset = found.Offset(4 + 2 * slot)
    starts = (found.Vector(offset) + 4 * i for i in range(found.VectorLen(offset) if offset else 0))
    return [table.Table(found.Bytes, found.Indirect(start)) for start in starts]


def text(found, slot):
    return found.String(found.Offset(4 + 2 * slot) + found.Pos).decode()


def test_the_file_holds_builtins_and_constants_alone(litert_file):
    used = operators(litert_file.read_bytes())
    assert "NON_MAX_SUPPRESSION_V4" in used and "CONV_2D" in used
    assert used - listed("litert_builtins.txt") == set()
    assert [path.name for path in litert_file.parent.iterdir()] == [litert_file.name]


def test_a_model_that_would_not_run_is_refused():
    variable = tf.Variable(3.0)

    def converted(function, operators):
        concrete = tf.function(function, [tf.TensorSpec([2])]).get_concrete_function()
        module = tf.Module()
        module.variable = variable
        converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], module)
        converter.target_spec.supported_ops = operators
        return converter.convert()

    builtins, flex = tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS
    with pytest.raises(ValueError, match="would hold ASSIGN_VARIABLE, READ_VARIABLE"):
        _check_operators(converted(lambda x: variable.assign_add(1.0) * x, [builtins]))
    with pytest.raises(ValueError, match="would hold custom FlexCholesky"):
        _check_operators(
            converted(lambda x: tf.linalg.cholesky(tf.linalg.diag(x)), [builtins, flex])
        )


def test_a_model_of_seven_classes_converts():
    # A clip of integers between 0 and 6 would become Relu6, which LiteRT has for floats alone.
    @tf.function(input_signature=[tf.TensorSpec([1, 2, 4, 4, 7]), tf.TensorSpec([1, 2], tf.int32)])
    def select(logits, classes):
        return {"maps": select_class(logits, classes)}

    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [select.get_concrete_function()], tf.Module()
    )
    assert operators(converter.convert()) - listed("litert_builtins.txt") == set()
    logits = np.random.default_rng(0).normal(size=[1, 2, 4, 4, 7]).astype(np.float32)
    maps = select(logits, tf.constant([[6, -1]]))["maps"]
    np.testing.assert_array_equal(maps[0], [logits[0, 0, ..., 6], logits[0, 1, ..., 0]])


def test_metadata_as_its_readers_expect_it(litert_file, tiny_model):
    with zipfile.ZipFile(litert_file) as archive:
        assert archive.read("labels.txt").decode() == "cell\nZellkern\n細胞\n"
        labels = json.loads(archive.read("labels.json"))
    assert labels == read_labels(litert_file) == json.loads(json.dumps(model_labels(tiny_model)))
    content = litert_file.read_bytes()
    model = schema.Model.GetRootAs(content)
    entries = {model.Metadata(i).Name(): model.Metadata(i) for i in range(model.MetadataLength())}
    metadata = model.Buffers(entries[b"TFLITE_METADATA"].Buffer()).DataAsNumpy().tobytes()
    assert metadata[4:8] == b"M001"
    root = table.Table(metadata, encode.Get(number_types.UOffsetTFlags.packer_type, metadata, 0))
    assert text(root, 0) == "cells"
    [subgraph] = members(root, 3)
    graph = model.Subgraphs(0)
    names = [text(tensor, 0) for tensor in members(subgraph, 2)]
    shapes = {name: graph.Tensors(graph.Inputs(i)).ShapeAsNumpy() for i, name in enumerate(names)}
    assert {name: list(shape) for name, shape in shapes.items()} == {
        "images": [1, 96, 128, 3],
        "image_sizes": [1, 2],
    }
    outputs = {text(tensor, 0): members(tensor, 6) for tensor in members(subgraph, 3)}
    assert len(outputs) == graph.OutputsLength() == 6
    assert [text(file, 0) for file in outputs["classes"]] == ["labels.txt"]


def test_what_cannot_be_written(tmp_path, tiny_model, litert_file):
    with pytest.raises(ValueError, match="bolts must end in .tflite"):
        save_litert(tiny_model, tmp_path / "bolts")
    with pytest.raises(FileExistsError, match="cells.tflite already holds an export"):
        save_litert(tiny_model, litert_file, overwrite=False)
    matterport = MatterportMaskRCNN("resnet50", num_classes=1, fpn_channels=8, box_fc=(8,))
    with pytest.raises(ValueError, match="CropAndResize"):
        save_litert(matterport, tmp_path / "bolts.tflite")
    (tmp_path / "text.tflite").write_text("TFL3")
    with pytest.raises(ValueError, match="text.tflite holds no labels.json"):
        read_labels(tmp_path / "text.tflite")
    assert [path.name for path in tmp_path.iterdir()] == ["text.tflite"]


@pytest.mark.slow
def test_the_file_runs_in_tensorflow_lite(litert_file, exported):
    """The interpreter that TensorFlow brings along, which is there without any extra."""
    images, sizes = blocks(1, 96, 128, seed=2), np.int32([[90, 128]])
    interpreter = tf.lite.Interpreter(str(litert_file))
    found = interpreter.get_signature_runner()(images=images, image_sizes=sizes)
    expected = SavedModelRuntime(exported)(images, sizes)
    assert sorted(found) == sorted(expected) and found["num_detections"] > 0
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=2e-3, err_msg=name)
