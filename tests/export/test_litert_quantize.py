import sys

import numpy as np
import pytest
from PIL import Image
from tensorflow.lite.python import schema_py_generated as schema

from mrcnn_tf.export import save_litert
from mrcnn_tf.export.canvas import detections
from mrcnn_tf.export.litert_file import operators, read_labels, unpack
from mrcnn_tf.export.litert_quantize import quantize
from mrcnn_tf.export.runtimes import LiteRTRuntime
from mrcnn_tf.export.verify import match

from .conftest import blocks

SIZE = (96, 128)
TYPE = schema.TensorType


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for seed in range(4):
        Image.fromarray(blocks(1, 90, 128, seed)[0]).save(folder / f"{seed}.png")
    (folder / "labels.txt").write_text("cell")
    return folder


def weighted(content):
    """Dtypes of input, weights and output of all convolutions and dense layers, by output."""
    model = unpack(content)
    graph, code = model.subgraphs[0], schema.BuiltinOperator
    plain = (code.CONV_2D, code.DEPTHWISE_CONV_2D, code.FULLY_CONNECTED)
    sources = dict.fromkeys(plain, (0, 1)) | {code.TRANSPOSE_CONV: (2, 1)}
    # Float16 weights are widened by an operator in front.
    widened = {
        operator.outputs[0]: operator.inputs[0]
        for operator in graph.operators
        if model.operatorCodes[operator.opcodeIndex].builtinCode == code.DEQUANTIZE
        and model.buffers[graph.tensors[operator.inputs[0]].buffer].data is not None
    }

    def dtype(index):
        return graph.tensors[widened.get(index, index)].type

    found = {}
    for operator in graph.operators:
        places = sources.get(model.operatorCodes[operator.opcodeIndex].builtinCode)
        if places:
            tensors = [*(operator.inputs[place] for place in places), operator.outputs[0]]
            name = graph.tensors[operator.outputs[0]].name.decode()
            found[name] = tuple(map(dtype, tensors))
    return found


def constants(content, dtype):
    """How many numbers of a dtype the constants of a model are."""
    model = unpack(content)
    return sum(
        int(np.prod(tensor.shape))
        for tensor in model.subgraphs[0].tensors
        if tensor.type == dtype and model.buffers[tensor.buffer].data is not None
    )


@pytest.mark.parametrize("precision", ["float16", "dynamic_int8", "int8"])
def test_weights_alone_become_smaller(litert_file, images, precision):
    pytest.importorskip("ai_edge_quantizer", reason="needs pip install ai-edge-quantizer")
    content = litert_file.read_bytes()
    found = quantize(content, precision, sorted(images.glob("*.png")), SIZE)
    small = TYPE.FLOAT16 if precision == "float16" else TYPE.INT8
    kinds = weighted(found)
    assert len(kinds) == len(weighted(content)) > 20
    ends = {name: kind for name, kind in kinds.items() if kind != (TYPE.INT8,) * 3}
    if precision == "int8":
        assert len(ends) < len(kinds) / 2
        assert set(ends.values()) == {(TYPE.FLOAT32,) * 3}
        # The last layer of each head, and the RPN's two on five levels.
        for part in ("rpn", "box_head", "mask_head", "keypoint_head"):
            assert any(f"/{part}" in name for name in ends), part
    else:
        assert set(kinds.values()) == {(TYPE.FLOAT32, small, TYPE.FLOAT32)}
    # Anchors stay float32: what is smaller now are weights, and with them biases, which are int32.
    change = {kind: constants(found, kind) - constants(content, kind) for kind in range(10)}
    assert change[small] > 0
    assert 0 <= -change[TYPE.FLOAT32] - change[small] <= change[TYPE.INT32]
    assert not any(name.startswith("custom") for name in operators(found))


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float16", "dynamic_int8", "int8"])
def test_detections_stay_close(exported, litert_file, images, tmp_path, precision):
    pytest.importorskip("ai_edge_quantizer", reason="needs pip install ai-edge-quantizer")
    path = tmp_path / "small.tflite"
    calibration = [images] if precision == "int8" else None
    save_litert(exported, path, precision=precision, calibration=calibration)
    assert path.stat().st_size < litert_file.stat().st_size * (
        0.6 if precision == "float16" else 0.4
    )
    assert read_labels(path) == read_labels(litert_file)
    count, moved = 0, []
    with LiteRTRuntime(litert_file) as full, LiteRTRuntime(path) as run:
        for seed in range(5, 10):
            canvas, sizes = blocks(1, *SIZE, seed), np.int32([SIZE])
            expected, found = (detections(each(canvas, sizes)) for each in (full, run))
            rows, others = match(expected, found).T
            count += len(expected["scores"])
            moved.extend(abs(expected["boxes"][rows] - found["boxes"][others]).max(axis=1))
    # Weights are random and scores steep. Of two different images a tenth pairs up, 10 px apart.
    share, pixels = (0.97, 0.1) if precision == "float16" else (0.7, 2.5)
    assert count > 50 and len(moved) > share * count
    assert np.median(moved) < pixels


def test_settings_are_checked_before_anything_is_read(tmp_path, images, monkeypatch):
    def fails(error, message, **settings):
        with pytest.raises(error, match=message):
            save_litert(tmp_path / "missing.keras", tmp_path / "small.tflite", **settings)

    fails(ValueError, "precision='int4' must be one of float32", precision="int4")
    fails(ValueError, "precision='int8' needs calibration", precision="int8")
    fails(ValueError, "No other precision takes it", precision="float16", calibration=images)
    monkeypatch.setitem(sys.modules, "ai_edge_quantizer", None)
    fails(ModuleNotFoundError, r"'float16' needs.*mrcnn-tf\[litert\]", precision="float16")
    monkeypatch.setitem(sys.modules, "ai_edge_quantizer", sys)
    missing, empty = images / "9.png", tmp_path / "empty"
    empty.mkdir()
    fails(FileNotFoundError, "image file .*9.png", precision="int8", calibration=[missing])
    fails(ValueError, "no image in .*empty", precision="int8", calibration=empty)
    fails(ValueError, "names no image", precision="int8", calibration=[])
