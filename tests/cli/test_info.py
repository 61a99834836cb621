import json
import platform

import keras
import tensorflow as tf

import mrcnn_tf
from mrcnn_tf.cli.main import main


def test_versions_ops_and_devices(capsys):
    assert main(["info", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["mrcnn_tf"] == mrcnn_tf.__version__
    assert facts["python"] == platform.python_version()
    assert (facts["tensorflow"], facts["keras"]) == (tf.__version__, keras.__version__)
    assert facts["ops"]["compiled"] == mrcnn_tf.ops.status()["compiled"]
    assert "CPU" in [device["type"] for device in facts["devices"]]


def test_the_state_of_the_ops_is_told(capsys, monkeypatch):
    state = {"compiled": True, "path": "/x/ops.so", "built_for": "2.21.0", "reason": ""}
    monkeypatch.setattr("mrcnn_tf.ops.loader.status", lambda: dict(state))
    assert main(["info"]) == 0
    printed = capsys.readouterr().out
    assert "compiled for TensorFlow 2.21.0 (/x/ops.so)" in printed
    state.update(compiled=False, reason="it was built for TensorFlow 2.20.0")
    assert main(["info"]) == 0
    printed = capsys.readouterr().out
    assert "plain TensorFlow" in printed and "built for TensorFlow 2.20.0" in printed
    assert "compile them with: " in printed and "pip install" in printed
