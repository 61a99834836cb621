"""A detector on a network of keras.applications, from a training step to a file and back."""

import socket

import keras
import numpy as np
import pytest

import mrcnn_tf
from tests.models.tiny import LOSS_NAMES, check_detections, tiny_batch, tiny_model


def test_trains_and_is_saved(tmp_path, monkeypatch):
    def connect(*_):
        raise OSError("nothing may be downloaded")

    monkeypatch.setattr(socket.socket, "connect", connect)
    model = tiny_model(backbone="keras/MobileNetV3Small", backbone_channels=None, norm="batch_norm")
    model.compile(optimizer=keras.optimizers.SGD(1e-3))
    x, y = tiny_batch()
    before = {weight.path: weight.numpy() for weight in model.backbone.weights}
    losses = model.train_step((x, y))
    assert set(losses) == {"loss", *LOSS_NAMES}
    assert all(np.isfinite(float(value)) for value in losses.values())
    changed = [np.any(weight != before[weight.path]) for weight in model.backbone.weights]
    trained = model.backbone.trainable_weights
    assert len(trained) < sum(changed) < len(before)  # ... and the statistics of their stages

    model.save(tmp_path / "model.keras")
    loaded = mrcnn_tf.load(tmp_path / "model.keras")
    assert loaded.get_config()["backbone"] == "keras/MobileNetV3Small"
    for ours, theirs in zip(loaded.weights, model.weights, strict=True):
        assert ours.path == theirs.path
        np.testing.assert_array_equal(ours, theirs)
    found, expected = loaded.predict(x, verbose=0), model.predict(x, verbose=0)
    check_detections(found, [(64, 96)] * 2)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def test_networks_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match="Xception cannot be a backbone"):
        tiny_model(backbone="keras/Xception", backbone_channels=None)
    with pytest.raises(ValueError, match="base_channels .*keras/MobileNet"):
        tiny_model(backbone="keras/MobileNet")
