import sys

import numpy as np
import pytest
import tensorflow as tf

from mrcnn_tf.cli.main import main
from mrcnn_tf.export.onnx import save_onnx
from mrcnn_tf.export.runtimes.onnx import OnnxRuntime
from mrcnn_tf.export.runtimes.saved_model import SavedModelRuntime

from .conftest import blocks

INSTALL = "needs pip install 'mrcnn-tf[onnx]'"


@pytest.mark.slow
@pytest.mark.parametrize("batch", [None, 1])
def test_an_onnx_file_answers_as_the_model_does(tiny_model, exported, tmp_path, batch):
    onnx = pytest.importorskip("onnx", reason=INSTALL)
    pytest.importorskip("tf2onnx", reason=INSTALL)
    onnxruntime = pytest.importorskip("onnxruntime", reason=INSTALL)
    path = tmp_path / "new" / "cells.onnx"
    told = save_onnx(tiny_model if batch is None else exported, path, batch=batch)
    assert f"in  images: uint8 [{batch or 'batch'}, 96, 128, 3]" in told
    assert [file.name for file in path.parent.iterdir()] == ["cells.onnx"]
    with pytest.raises(FileExistsError, match="cells.onnx already holds an export"):
        save_onnx(tiny_model, path, overwrite=False)
    model = onnx.load(path)
    kinds = {node.op_type for node in model.graph.node}
    assert {entry.domain for entry in model.opset_import} <= {"", "ai.onnx.ml"}
    assert "NonMaxSuppression" in kinds if batch else "Loop" in kinds

    photos = [blocks(1, 96, 128, 1), blocks(1, 96, 128, 2)]
    sizes = [np.int32([[96, 128]]), np.int32([[80, 128]])]
    tensorflow = SavedModelRuntime(exported)
    expected = [tensorflow(*pair) for pair in zip(photos, sizes, strict=True)]
    with OnnxRuntime(path, threads=1) as run:
        assert run.size == (96, 128) and run.labels["class_names"][2] == "細胞"
        for image, size, answer in zip(photos, sizes, expected, strict=True):
            found = run(image, size)
            assert list(found) == sorted(answer) and found["num_detections"] > 0
            for name, value in answer.items():
                np.testing.assert_allclose(found[name], value, atol=2e-3, err_msg=name)
    if batch is None:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        feed = {"images": np.concatenate(photos), "image_sizes": np.concatenate(sizes)}
        both = np.concatenate([answer["boxes"] for answer in expected])
        np.testing.assert_allclose(session.run(["boxes"], feed)[0], both, atol=2e-3)


@pytest.mark.slow
def test_openvino_reads_a_file_of_one_image(exported, tmp_path):
    pytest.importorskip("tf2onnx", reason=INSTALL)
    openvino = pytest.importorskip("openvino", reason="needs pip install 'mrcnn-tf[openvino]'")
    save_onnx(exported, tmp_path / "cells.onnx", batch=1)
    core, settings = openvino.Core(), {"INFERENCE_PRECISION_HINT": "f32"}
    model = core.compile_model(core.read_model(tmp_path / "cells.onnx"), "CPU", settings)
    images, sizes = blocks(1, 96, 128, 1), np.int32([[96, 128]])
    found = model({"images": images, "image_sizes": sizes})
    for name, value in SavedModelRuntime(exported)(images, sizes).items():
        np.testing.assert_allclose(found[name], value, atol=5e-3, err_msg=name)


@pytest.mark.slow
def test_what_is_no_export(tmp_path):
    onnx = pytest.importorskip("onnx", reason=INSTALL)
    pytest.importorskip("onnxruntime", reason=INSTALL)
    (tmp_path / "broken.onnx").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="broken.onnx is no ONNX file"):
        OnnxRuntime(tmp_path / "broken.onnx")
    with pytest.raises(FileNotFoundError, match="There is no file .*missing.onnx"):
        OnnxRuntime(tmp_path / "missing.onnx")
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    other = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Abs", ["x"], ["y"])], "g", [value], [other]
    )
    opset = onnx.helper.make_opsetid("", 17)
    model = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8)
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(ValueError, match="other.onnx has no labels"):
        OnnxRuntime(tmp_path / "other.onnx")


def test_wrong_arguments_are_named_before_the_work(tiny_model, tmp_path, monkeypatch, capsys):
    for wrong, match in (({"opset": 12}, "opset must be 13 to 18"), ({"batch": 0}, "batch must")):
        with pytest.raises(ValueError, match=match):
            save_onnx(tiny_model, tmp_path / "cells.onnx", **wrong)
    with pytest.raises(ValueError, match="cells.pb must end in .onnx"):
        save_onnx(tiny_model, tmp_path / "cells.pb")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r'pip install "mrcnn-tf\[onnx\]"'):
        save_onnx(tiny_model, tmp_path / "cells.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match=r'pip install "mrcnn-tf\[onnx\]"'):
        OnnxRuntime(tmp_path / "cells.onnx")
    arguments = ["export", "m.keras", str(tmp_path / "1"), "--format", "saved_model"]
    assert main([*arguments, "--opset", "17"]) == 2
    assert "--opset is no option of --format saved_model" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_an_op_that_onnx_lacks_is_named(tmp_path, monkeypatch):
    pytest.importorskip("tf2onnx", reason=INSTALL)
    from mrcnn_tf.export import onnx
    from mrcnn_tf.export.portable import Portable

    @tf.function(autograph=False)
    def strange(images, image_sizes):
        return {"boxes": tf.math.lbeta(tf.cast(images, tf.float32)) + tf.raw_ops.Digamma(x=1.0)}

    function = strange.get_concrete_function(
        images=tf.TensorSpec([1, 8, 8, 3], tf.uint8, "images"),
        image_sizes=tf.TensorSpec([1, 2], tf.int32, "image_sizes"),
    )
    monkeypatch.setattr(onnx, "read_portable", lambda *_: Portable(function, {}, (8, 8)))
    with pytest.raises(ValueError, match="ONNX has no .*Lgamma"):
        onnx.save_onnx("any.keras", tmp_path / "a.onnx", batch=1)
    assert not list(tmp_path.iterdir())
