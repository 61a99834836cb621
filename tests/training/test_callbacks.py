import csv
import os

import keras
import numpy as np
import pytest

from mrcnn_tf.training import (
    LogEpochs,
    SaveLastAndBest,
    StopOnNonFiniteLoss,
    StopWithoutProgress,
    save_atomically,
)


@pytest.fixture
def model():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="dense")])
    model.compile(optimizer="sgd", loss="mse")
    return model


def bias(path):
    return float(keras.saving.load_model(path).get_layer("dense").bias.numpy()[0])


def test_last_and_best_are_kept(model, tmp_path):
    callback = SaveLastAndBest(str(tmp_path), "val_mask_ap")
    callback.set_model(model)
    for epoch, value in enumerate([None, 0.2, None, 0.5, 0.4]):
        model.get_layer("dense").bias.assign([float(epoch)])
        callback.on_epoch_end(epoch, {} if value is None else {"val_mask_ap": value})
        if epoch == 0:
            assert bias(tmp_path / "best.keras") == 0
        if epoch == 2:
            assert bias(tmp_path / "best.keras") == 1
    assert bias(tmp_path / "best.keras") == 3
    assert bias(tmp_path / "model.keras") == 4
    assert sorted(os.listdir(tmp_path)) == ["best.keras", "model.keras"]


def test_a_failing_save_leaves_the_old_file(model, tmp_path, monkeypatch):
    path = str(tmp_path / "model.keras")
    model.get_layer("dense").bias.assign([3.0])
    save_atomically(model, path)

    def fail(name):
        with open(name, "w") as file:
            file.write("half")
        raise OSError("disk full")

    monkeypatch.setattr(model, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        save_atomically(model, path)
    assert bias(path) == 3 and os.listdir(tmp_path) == ["model.keras"]


def test_log_has_columns_of_every_epoch(tmp_path):
    path = tmp_path / "log.csv"
    callback = LogEpochs(str(path))
    callback.on_epoch_end(0, {"loss": 2.0})
    callback.on_epoch_end(1, {"loss": 1.0, "val_mask_ap": 0.5})
    with open(path) as file:
        rows = list(csv.DictReader(file))
    assert rows == [
        {"epoch": "0", "loss": "2.0", "val_mask_ap": ""},
        {"epoch": "1", "loss": "1.0", "val_mask_ap": "0.5"},
    ]
    assert os.listdir(tmp_path) == ["log.csv"]


def test_non_finite_loss_stops_the_run(model):
    inputs, targets = np.ones((4, 2)), np.ones((4, 1))
    model.fit(inputs, targets, verbose=0, callbacks=[StopOnNonFiniteLoss()])
    targets[2] = np.inf
    with pytest.raises(FloatingPointError, match="At step 2 .* not finite: loss"):
        model.fit(inputs, targets, verbose=0, callbacks=[StopOnNonFiniteLoss()])


def test_patience_counts_measurements_only(model):
    callback = StopWithoutProgress("val_mask_ap", mode="max", patience=2)
    callback.set_model(model)
    callback.on_train_begin()
    stopped = []
    for epoch, value in enumerate([None, 0.2, None, 0.1, None, 0.3, 0.3, None, 0.2]):
        callback.on_epoch_end(epoch, {} if value is None else {"val_mask_ap": value})
        stopped.append(model.stop_training)
    assert stopped == [False] * 8 + [True]
