import sys

import numpy as np
import pytest

from mrcnn_tf.export.runtimes import LiteRTRuntime, SavedModelRuntime

from ..conftest import blocks


def test_it_answers_as_the_function_does(tiny_model, exported, litert_file):
    pytest.importorskip("ai_edge_litert", reason="needs pip install ai-edge-litert")
    expect = SavedModelRuntime(exported)
    with LiteRTRuntime(litert_file, threads=2) as run:
        assert run.size == (96, 128) and run.labels["class_names"] == tiny_model.class_names
        for seed, size in ((0, (96, 128)), (1, (70, 128))):
            images, sizes = blocks(1, 96, 128, seed), np.int32([size])
            found = run(images, sizes)
            expected = expect(images, sizes)
            assert list(found) == sorted(expected) and found["num_detections"] > 0
            for name, value in expected.items():
                np.testing.assert_allclose(found[name], value, atol=2e-3, err_msg=name)
        assert run.seconds > 0


def test_what_is_missing_is_named(litert_file, tmp_path, monkeypatch):
    pytest.importorskip("ai_edge_litert", reason="needs pip install ai-edge-litert")
    with pytest.raises(FileNotFoundError, match="There is no file .*bolts.tflite"):
        LiteRTRuntime(tmp_path / "bolts.tflite")
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(
        ModuleNotFoundError, match=r'cells.tflite.* pip install "mrcnn-tf\[litert\]"'
    ):
        LiteRTRuntime(litert_file)
