import sys

import numpy as np
import pytest
import tensorflow as tf

from mrcnn_tf.export.runtimes.openvino import OpenVinoRuntime
from mrcnn_tf.export.runtimes.saved_model import SavedModelRuntime

from ..conftest import blocks

INSTALL = "needs pip install 'mrcnn-tf[openvino]'"


def test_it_answers_as_tensorflow_does(tiny_model, exported):
    pytest.importorskip("openvino", reason=INSTALL)
    tensorflow = SavedModelRuntime(exported)
    with OpenVinoRuntime(exported, threads=1) as run:
        assert run.size == (96, 128) and run.labels["class_names"] == tiny_model.class_names
        for seed, size in ((1, (96, 128)), (2, (80, 128))):
            images, sizes = blocks(1, 96, 128, seed), np.int32([size])
            found, expected = run(images, sizes), tensorflow(images, sizes)
            assert list(found) == sorted(expected) and found["num_detections"] > 0
            for name, value in expected.items():
                np.testing.assert_allclose(found[name], value, atol=5e-3, err_msg=name)
        assert run.seconds > 0


def test_what_is_no_export(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "openvino", None)
        with pytest.raises(ImportError, match=r'pip install "mrcnn-tf\[openvino\]"'):
            OpenVinoRuntime(tmp_path)
    pytest.importorskip("openvino", reason=INSTALL)
    with pytest.raises(FileNotFoundError, match="There is no SavedModel"):
        OpenVinoRuntime(tmp_path / "1")
    tf.saved_model.save(tf.Module(), str(tmp_path / "1"))
    with pytest.raises(ValueError, match="has no signature 'portable'"):
        OpenVinoRuntime(tmp_path / "1")
