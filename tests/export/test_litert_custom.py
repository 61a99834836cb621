import struct

import numpy as np
import pytest

from mrcnn_tf.export import litert_delegate, read_portable, save_litert
from mrcnn_tf.export.litert_custom import CUSTOM_OPERATORS, _settings, needs_delegate
from mrcnn_tf.export.litert_file import operators
from mrcnn_tf.export.runtimes import LiteRTRuntime, SavedModelRuntime

from .conftest import blocks


@pytest.fixture(scope="module")
def delegate():
    pytest.importorskip("ai_edge_litert", reason="needs pip install ai-edge-litert")
    try:
        return litert_delegate()
    except FileNotFoundError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def custom_file(tiny_model, delegate, compiled_ops, tmp_path_factory):
    path = tmp_path_factory.mktemp("custom") / "cells.tflite"
    save_litert(tiny_model, path, size=(96, 128), custom_ops=True)
    return path


@pytest.mark.slow
def test_the_delegate_runs_the_compiled_ops(custom_file, litert_file, exported, delegate):
    custom = {f"custom {name}" for name in CUSTOM_OPERATORS}
    used = operators(custom_file.read_bytes())
    assert custom <= used and "NON_MAX_SUPPRESSION_V4" not in used
    assert needs_delegate(custom_file) and not needs_delegate(litert_file)
    expect = SavedModelRuntime(exported)
    with (
        LiteRTRuntime(custom_file, threads=1) as one,
        LiteRTRuntime(custom_file, threads=3, delegate=delegate) as three,
    ):
        for seed in range(3):
            images, sizes = blocks(1, 96, 128, seed), np.int32([[96 - 10 * seed, 128]])
            expected, found, again = (run(images, sizes) for run in (expect, one, three))
            assert found["num_detections"] > 0
            for name, value in expected.items():
                np.testing.assert_allclose(found[name], value, atol=2e-3, err_msg=name)
                np.testing.assert_array_equal(found[name], again[name], err_msg=name)


@pytest.mark.slow
def test_settings_that_do_not_fit_are_refused(custom_file, delegate, tmp_path):
    content = custom_file.read_bytes()
    # The RPN's: 64 boxes of each level, 32 of an image, IoU 0.7.
    settings = struct.pack("<2if", 64, 32, np.float32(0.7))
    assert content.count(settings) == 1
    changed = tmp_path / "changed.tflite"
    changed.write_bytes(content.replace(settings, struct.pack("<2if", 64, 31, np.float32(0.7))))
    with pytest.raises(RuntimeError, match="MrcnnProposals: its outputs are not those"):
        LiteRTRuntime(changed)(blocks(1, 96, 128), np.int32([[96, 128]]))


def test_settings_are_words_of_four_bytes():
    attributes = {"max_output": 5, "pre_nms_top_n": 0, "mode": "linear"}
    attributes |= {"iou_threshold": 0.5, "score_threshold": 0.05, "sigma": 0.25}
    packed = _settings("MrcnnNms", attributes)
    assert struct.unpack("<3i3f", packed) == pytest.approx((5, 0, 1, 0.5, 0.05, 0.25))
    attributes = {"output_height": 7, "output_width": 9, "sampling_ratio": 2, "aligned": True}
    attributes |= {"strides": [4, 8], "level_areas": [12.5]}
    packed = _settings("MrcnnRoiAlign", attributes)
    assert struct.unpack("<7if", packed) == (7, 9, 2, 1, 2, 4, 8, 12.5)


def test_what_compiled_ops_cannot(exported, tmp_path, monkeypatch):
    path = tmp_path / "cells.tflite"
    with pytest.raises(ValueError, match="custom_ops=True is for float32 alone"):
        monkeypatch.setattr("mrcnn_tf.export.litert.check_precision", lambda *_: [])
        save_litert(exported, path, precision="float16", custom_ops=True)
    with pytest.raises(ValueError, match="a SavedModel has been: give the .keras file"):
        save_litert(exported, path, custom_ops=True)
    with pytest.raises(ValueError, match="a SavedModel has been"):
        read_portable(read_portable(exported), ops="compiled")
    monkeypatch.setattr("mrcnn_tf.export.litert_custom._LIBRARY", tmp_path / "libmrcnn_litert.so")
    with pytest.raises(FileNotFoundError, match="libmrcnn_litert.so: it is built with the comp"):
        litert_delegate()
