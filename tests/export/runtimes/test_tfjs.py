import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from mrcnn_tf.export import Portable, read_portable, save_tfjs
from mrcnn_tf.export.npm_packages import npm_packages
from mrcnn_tf.export.runtimes import TfjsChromiumRuntime, TfjsNodeRuntime
from mrcnn_tf.export.runtimes.tfjs import PACKAGES
from mrcnn_tf.export.tfjs_environment import converter_python
from mrcnn_tf.models import MaskRCNN

from ..browser import require_chromium
from ..conftest import blocks
from ..test_tfjs_graph import sums


def require_tfjs():
    """Skips a test where TensorFlow.js or its converter are not there and cannot be fetched."""
    try:
        npm_packages(PACKAGES)
        converter_python()
    except OSError as error:
        pytest.skip(str(error))


def with_biases(model):
    """Fresh biases are zeros, which converters leave out: a trained model is another graph."""
    copy = MaskRCNN.from_config(model.get_config())
    random = np.random.default_rng(0)
    for variable, given in zip(copy.weights, model.weights, strict=True):
        if variable.name in ("beta", "bias", "moving_mean"):
            variable.assign(random.normal(0, 0.1, variable.shape))
        elif variable.name in ("gamma", "moving_variance"):
            variable.assign(random.uniform(0.7, 1.3, variable.shape))
        else:
            variable.assign(given)
    return copy


def same(found, expected, atol=2e-3):
    assert sorted(found) == sorted(expected)
    for name, value in expected.items():
        assert found[name].dtype == value.dtype.as_numpy_dtype
        np.testing.assert_allclose(found[name], value, atol=atol, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("biases", [True, False])
def test_a_residual_network_answers_as_the_function_does(tiny_model, tmp_path, biases):
    require_tfjs()
    require_chromium()
    model = with_biases(tiny_model) if biases else tiny_model
    save_tfjs(model, tmp_path / "cells", shard_bytes=2**20)
    shards = list((tmp_path / "cells").glob("*.bin"))
    assert len(shards) > 10 and max(path.stat().st_size for path in shards) <= 2**20
    portable = read_portable(model)
    for runtime in (TfjsNodeRuntime, TfjsChromiumRuntime):
        with runtime(tmp_path / "cells") as run:
            assert run.size == (96, 128) and run.labels == portable.labels
            for seed, size in ((0, (96, 128)), (1, (70, 128))):
                images, sizes = blocks(1, 96, 128, seed), np.int32([size])
                found = run(images, sizes)
                assert found["num_detections"] > 0 and run.seconds > 0
                same(found, portable.function(images=images, image_sizes=sizes))
        run.close()


@pytest.mark.slow
def test_sums_are_right(tmp_path, monkeypatch):
    require_tfjs()
    function = sums()
    specs = {
        "images": tf.TensorSpec([1, 4, 4, 3], tf.uint8, "images"),
        "image_sizes": tf.TensorSpec([1, 2], tf.int32, "image_sizes"),
    }

    @tf.function(autograph=False)
    def of_images(*, images, image_sizes):
        x = tf.pad(tf.cast(images, tf.float32) / 255.0, [[0, 0], [0, 0], [0, 0], [0, 1]])
        return function(x, x[:, :1, :1] + tf.cast(image_sizes[0, 0], tf.float32))

    read = Portable(of_images.get_concrete_function(**specs), {"class_names": []}, (4, 4))
    monkeypatch.setattr("mrcnn_tf.export.tfjs.read_portable", lambda source, size: read)
    save_tfjs("sums", tmp_path / "sums")
    images, sizes = blocks(1, 8, 8)[:, ::2, ::2], np.int32([[2, 4]])
    with TfjsNodeRuntime(tmp_path / "sums") as run:
        same(run(images, sizes), read.function(images=images, image_sizes=sizes), atol=1e-4)


def write_head(folder):
    """What is read of a model before it is given to TensorFlow.js."""
    dimensions = [{"size": size} for size in ("1", "8", "8", "3")]
    signature = {"inputs": {"images": {"tensorShape": {"dim": dimensions}}}}
    (folder / "model.json").write_text(json.dumps({"signature": signature}))
    (folder / "labels.json").write_text("{}")


def test_what_is_no_model_is_named(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="is no TensorFlow.js model of this package"):
        TfjsNodeRuntime(tmp_path)
    write_head(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="node is needed, and is not there"):
        TfjsNodeRuntime(tmp_path)


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
def test_what_node_says_is_passed_on(tmp_path, monkeypatch):
    # Stands for npm's folder: TensorFlow.js is not in it.
    monkeypatch.setattr("mrcnn_tf.export.runtimes.tfjs.npm_packages", lambda packages: tmp_path)
    write_head(tmp_path)
    with pytest.raises(RuntimeError, match="in Node.js: Error: Cannot find module.*tfjs-core"):
        TfjsNodeRuntime(tmp_path)
