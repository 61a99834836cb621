import pytest

from mrcnn_tf.export.runtimes import SavedModelRuntime
from mrcnn_tf.export.runtimes.kinds import KINDS, RUNTIMES, kind_of, runtimes_of
from mrcnn_tf.export.runtimes.runtime import Runtime


def test_exports_are_known_by_their_files(exported, tmp_path):
    assert kind_of(exported) == "saved_model"
    for name, kind in (("a.tflite", "litert"), ("b.onnx", "onnx")):
        (tmp_path / name).touch()
        assert kind_of(tmp_path / name) == kind
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "detector.json").touch()
    assert kind_of(tmp_path / "site") == "web"
    with pytest.raises(ValueError, match="is nothing that export writes"):
        kind_of(tmp_path)
    (tmp_path / "model.json").touch()
    assert list(runtimes_of(tmp_path)) == ["tfjs-node", "tfjs-chromium"]
    with pytest.raises(FileNotFoundError, match="There is no .*c.onnx"):
        kind_of(tmp_path / "c.onnx")


def test_runtimes_open_what_they_can(exported, tmp_path):
    assert {entry.kind for entry in RUNTIMES.values()} == set(KINDS)
    fitting = runtimes_of(exported)
    assert list(fitting) == ["tensorflow", "openvino"]
    with fitting["tensorflow"].open(exported) as runtime:
        assert isinstance(runtime, SavedModelRuntime) and isinstance(runtime, Runtime)
    assert list(runtimes_of(exported, "openvino")) == ["openvino"]
    with pytest.raises(ValueError, match="'onnxruntime' does not run saved_model: .*tensorflow"):
        runtimes_of(exported, "onnxruntime")
    with pytest.raises(ValueError, match="'torch' is none"):
        runtimes_of(exported, "torch")
