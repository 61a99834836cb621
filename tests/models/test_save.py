import os
import subprocess
import sys
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import mrcnn_tf
from tests.models.tiny import tiny_batch, tiny_model

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).with_name("golden")

LOAD = {
    "mrcnn_tf.load": "import mrcnn_tf; model = mrcnn_tf.load(sys.argv[1])",
    "keras": (
        "from mrcnn_tf import MaskRCNN; import keras; "
        "model = keras.models.load_model(sys.argv[1]); assert isinstance(model, MaskRCNN)"
    ),
}
PREDICT = """
import sys
import numpy as np
{load}
found = model(dict(np.load(sys.argv[2])))
np.savez(sys.argv[3], iterations=model.optimizer.iterations.numpy(), **found)
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A model that was trained for one step, and the file it was saved to."""
    model = tiny_model(class_names=["disc", "square", "star"], category_ids=[2, 3, 5])
    model.compile(optimizer=keras.optimizers.SGD(1e-3, momentum=0.9))
    gradients = [tf.ones_like(weight.value) * 1e-3 for weight in model.trainable_weights]
    model.optimizer.apply(gradients, model.trainable_weights)
    path = tmp_path_factory.mktemp("saved") / "model.keras"
    model.save(path)
    return model, path


def arrays(outputs):
    return {name: np.asarray(value) for name, value in outputs.items()}


@pytest.mark.parametrize("loader", LOAD)
def test_a_fresh_process_finds_the_same(saved, loader, tmp_path):
    model, path = saved
    x, _ = tiny_batch()
    np.savez(tmp_path / "input.npz", **arrays(x))
    program = PREDICT.format(load=LOAD[loader])
    files = [str(path), str(tmp_path / "input.npz"), str(tmp_path / "output.npz")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program, *files], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = dict(np.load(tmp_path / "output.npz"))
    assert found.pop("iterations") == 1
    assert found["num_detections"].min() > 3
    for name, value in arrays(model(x)).items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def test_load_restores_everything(saved):
    model, path = saved
    loaded = mrcnn_tf.load(path)
    assert loaded.class_names == ["disc", "square", "star"] and loaded.category_ids == [2, 3, 5]
    assert loaded.image_size == (96, 128)
    for ours, theirs in zip(loaded.weights, model.weights, strict=True):
        assert ours.path == theirs.path
        np.testing.assert_array_equal(ours, theirs)
    for ours, theirs in zip(loaded.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    untrained = mrcnn_tf.load(str(path), compile=False)
    assert getattr(untrained, "optimizer", None) is None


def test_training_goes_on_where_it_stopped(saved):
    model, path = saved
    x, y = tiny_batch()
    models = [mrcnn_tf.load(path), mrcnn_tf.load(path)]
    for other in models:
        losses = other.train_step((x, y))
        assert np.isfinite(float(losses["loss"]))
        assert int(other.optimizer.iterations) == 2
    for first, second, before in zip(*(m.weights for m in models), model.weights, strict=True):
        np.testing.assert_array_equal(first, second)
        if first.trainable:
            assert not np.array_equal(first, before), first.path


def test_weights_alone(saved, tmp_path):
    model, _ = saved
    model.save_weights(tmp_path / "model.weights.h5")
    other = tiny_model(seed=1)
    other.load_weights(tmp_path / "model.weights.h5")
    for ours, theirs in zip(other.weights, model.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_files_that_cannot_be_read(saved, tmp_path):
    with pytest.raises(FileNotFoundError, match="No model file at .*nothing.keras"):
        mrcnn_tf.load(tmp_path / "nothing.keras")
    with pytest.raises(FileNotFoundError, match="No model file"):
        mrcnn_tf.load(tmp_path)  # a folder
    cut = tmp_path / "cut.keras"
    cut.write_bytes(saved[1].read_bytes()[:2000])
    with pytest.raises(ValueError, match="cut.keras.*not a whole"):
        mrcnn_tf.load(cut)
    newer = tmp_path / "newer.keras"
    with zipfile.ZipFile(saved[1]) as source, zipfile.ZipFile(newer, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "config.json":
                assert content.count(b'"config_version": 1') == 1
                content = content.replace(b'"config_version": 1', b'"config_version": 99')
            target.writestr(name, content)
    with pytest.raises(Exception, match="config_version 99.*Upgrade mrcnn_tf"):
        mrcnn_tf.load(newer)


def test_a_model_saved_by_an_earlier_release_still_finds_the_same():
    """The files are made by `scripts/make_golden_tiny_model.py`."""
    model = mrcnn_tf.load(GOLDEN / "tiny_maskrcnn.keras")
    golden = dict(np.load(GOLDEN / "tiny_maskrcnn.npz"))
    inputs = {name: golden.pop(name) for name in ("images", "image_sizes")}
    found = arrays(model(inputs))
    assert set(found) == set(golden)
    np.testing.assert_array_equal(found["num_detections"], golden["num_detections"])
    np.testing.assert_array_equal(found["classes"], golden["classes"])
    np.testing.assert_allclose(found["scores"], golden["scores"], atol=1e-4)
    np.testing.assert_allclose(found["boxes"], golden["boxes"], atol=1e-2)
    np.testing.assert_allclose(found["masks"], golden["masks"], atol=2e-3)
    assert golden["num_detections"].min() > 0 and (golden["num_detections"] < 20).any()
