import json
import sys
import threading
from pathlib import Path

import pytest
import tensorflow as tf

from mrcnn_tf.export import Portable, save_tfjs
from mrcnn_tf.export.tfjs_environment import VARIABLE, converter_python

# Stands for Python: makes an environment out of itself, and says what it was asked to install.
PYTHON = """#!/bin/sh
echo "$*" >> {log}
case "$*" in
  *venv*) for last; do :; done; mkdir -p "$last/bin"; cp "$0" "$last/bin/python" ;;
  *"pip install"*) {pip} ;;
  *input_format*) {converter} ;;
esac
"""
WRITE = """for last; do :; done; mkdir "$last"; printf '%s' '{document}' > "$last/model.json"
printf 12345678 > "$last/group1-shard1of1.bin" """
DOCUMENT = {
    "modelTopology": {"node": []},
    "weightsManifest": [{"paths": ["group1-shard1of1.bin"], "weights": []}],
    "signature": {"outputs": {"unnamed:0": {"name": "boxes:0"}}},
}


class Version(tuple):
    major = property(lambda self: self[0])
    minor = property(lambda self: self[1])


@pytest.fixture
def python(tmp_path, monkeypatch):
    """Puts a program in the place of Python, and gives the file of what it was called with."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(VARIABLE, raising=False)

    monkeypatch.setattr(sys, "version_info", Version((3, 11)))

    def put(pip="true", converter="true"):
        program, log = tmp_path / "tools" / "python", tmp_path / "tools" / "log"
        program.parent.mkdir(exist_ok=True)
        program.write_text(PYTHON.format(log=log, pip=pip, converter=converter))
        program.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(program))
        return log

    return put


@pytest.fixture
def source(monkeypatch):
    """Read as a small function with two outputs that a converter cannot tell apart."""

    @tf.function(autograph=False)
    def function(*, images, image_sizes):
        sums = tf.reduce_sum(tf.cast(images, tf.float32), axis=[1, 2])
        return {"scores": sums, "boxes": sums * tf.cast(image_sizes[:, :1], tf.float32)}

    specs = {
        "images": tf.TensorSpec([1, 8, 8, 3], tf.uint8, "images"),
        "image_sizes": tf.TensorSpec([1, 2], tf.int32, "image_sizes"),
    }
    labels = {"class_names": ["細胞"], "category_ids": [7]}
    read = Portable(function.get_concrete_function(**specs), labels, (8, 8))
    monkeypatch.setattr("mrcnn_tf.export.tfjs.read_portable", lambda source, size: read)
    return "nuclei.keras"


def test_names_and_labels_are_written(python, source, tmp_path):
    python(converter=WRITE.format(document=json.dumps(DOCUMENT)))
    out = tmp_path / "nuclei-tfjs"
    description = save_tfjs(source, out)
    assert "in 1 files" in description and "in  images: uint8 [1, 8, 8, 3]" in description
    document = json.loads((out / "model.json").read_text())
    assert document["weightsManifest"] == DOCUMENT["weightsManifest"]
    signature = document["signature"]
    assert list(signature["outputs"]) == ["boxes", "scores"]
    assert document["userDefinedMetadata"] == {"structuredOutputKeys": ["boxes", "scores"]}
    for name, info in (signature["inputs"] | signature["outputs"]).items():
        assert info["name"] == f"{name}:0"
    assert signature["inputs"]["image_sizes"]["dtype"] == "DT_INT32"
    assert signature["outputs"]["boxes"]["dtype"] == "DT_FLOAT"
    assert json.loads((out / "labels.json").read_text())["class_names"] == ["細胞"]
    with pytest.raises(FileExistsError, match="already holds an export"):
        save_tfjs(source, out, overwrite=False)


def test_what_fails_leaves_nothing_behind(python, source, tmp_path, monkeypatch):
    out = tmp_path / "nuclei-tfjs"
    python(converter="echo 'ValueError: Unsupported Ops' >&2; exit 1")
    with pytest.raises(RuntimeError, match="converter of .* failed: .*Unsupported Ops"):
        save_tfjs(source, out)
    node = {"name": "add", "op": "BiasAdd", "input": ["x", "y"]}
    document = json.dumps(DOCUMENT | {"modelTopology": {"node": [node]}})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))  # the first keeps its program
    python(converter=WRITE.format(document=document))
    with pytest.raises(RuntimeError, match="BiasAdd 'add' of a sum that has no bias"):
        save_tfjs(source, out)
    with pytest.raises(ValueError, match="shard_bytes must be at least 1024, got 10"):
        save_tfjs(source, out, shard_bytes=10)
    assert not list(tmp_path.glob("*nuclei*"))


def test_the_environment_is_made_once(python, capfd):
    log = python(pip="sleep 0.3")
    found = []
    threads = [threading.Thread(target=lambda: found.append(converter_python())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found[0] == found[1] == converter_python() and found[0].is_file()
    assert found[0].parts[-3] == "tensorflowjs-4.22.0-tensorflow-2.19.0-python-3.11"
    calls = log.read_text().splitlines()
    assert len(calls) == 3 and "pip install" in calls[1] and "tensorflowjs==4.22.0" in calls[1]
    assert capfd.readouterr().err.count("Installing the TF.js converter into") == 1


def test_an_environment_that_cannot_be_made(python, monkeypatch, tmp_path):
    python(pip="echo 'WARNING: retrying' >&2; echo 'ERROR: No matching distribution' >&2; exit 1")
    with pytest.raises(OSError) as caught:
        converter_python()
    message = str(caught.value)
    assert "failed (ERROR: No matching distribution). It needs a package index once" in message
    assert VARIABLE in message and "WARNING" not in message
    with monkeypatch.context() as patch:
        patch.setattr(sys, "version_info", Version((3, 14)))
        patch.setenv("PATH", str(tmp_path))
        with pytest.raises(FileNotFoundError, match="cannot be installed for Python 3.14"):
            converter_python()
    python()
    assert converter_python().is_file()  # made anew
    monkeypatch.setenv(VARIABLE, str(tmp_path / "none"))
    with pytest.raises(FileNotFoundError, match=f"{VARIABLE}=.*none is no Python environment"):
        converter_python()
    monkeypatch.setenv(VARIABLE, str(Path(sys.executable).parent))
    (Path(sys.executable).parent / "bin").mkdir()
    (Path(sys.executable).parent / "bin" / "python").touch()
    assert converter_python() == Path(sys.executable).parent / "bin" / "python"
