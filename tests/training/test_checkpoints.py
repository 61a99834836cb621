import os

import keras
import numpy as np
import pytest

from mrcnn_tf.training import Checkpoints, Position, Restored, SaveCheckpoints
from mrcnn_tf.training.callbacks import LogEpochs, SaveLastAndBest
from tests.models.tiny import tiny_model


@pytest.fixture(scope="module")
def model():
    built = tiny_model()
    built.compile(keras.optimizers.SGD(0.1, momentum=0.9, use_ema=True))
    built.history = keras.callbacks.History()
    built.build_optimizer()
    return built


def values(model):
    variables = [*model.variables, *model.metrics_variables, *model.optimizer.variables]
    return [variable.value.numpy().copy() for variable in variables]


def disturb(model):
    for variable in [*model.variables, *model.metrics_variables, *model.optimizer.variables]:
        variable.assign(variable + keras.ops.ones_like(variable))


def test_everything_comes_back(model, tmp_path):
    checkpoints = Checkpoints(tmp_path / "states", keep=2)
    assert checkpoints.restore(model) is None and checkpoints.paths() == []
    model.history.history = {"loss": [2.0, 1.5]}
    stop, best = keras.callbacks.EarlyStopping(), SaveLastAndBest(str(tmp_path), "val_mask_ap")
    log = LogEpochs(str(tmp_path / "log.csv"))
    stop.on_train_begin()
    stop.wait, stop.best, best.best, log.rows = 2, 0.25, np.float32(0.5), [{"epoch": 0, "loss": 2}]
    wanted = values(model)
    checkpoints.save(model, Position(2, 7), [stop, log, best])
    disturb(model)  # before it is written: the values were copied
    checkpoints.wait()

    found = Checkpoints(tmp_path / "states").restore(model)
    assert found.position == Position(epoch=2, step=7)
    for value, expected in zip(values(model), wanted, strict=True):
        np.testing.assert_array_equal(value, expected)
    for callback in (stop, best):
        callback.best = 0.0
    log.rows, stop.wait, model.history.history = [], 0, {}
    saver = SaveCheckpoints(checkpoints, None, [stop, log, best], found)
    saver.set_model(model)
    saver.on_train_begin()
    assert (stop.wait, stop.best, best.best) == (2, 0.25, 0.5)
    assert log.rows == [{"epoch": 0, "loss": 2}]
    assert model.history.history == {"loss": [2.0, 1.5]}


def test_states_are_saved_by_steps_and_at_the_end_of_epochs(model, tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=3)
    saver = SaveCheckpoints(checkpoints, 4, [])
    saver.set_model(model)
    saver.set_params({"steps": 6})
    model.optimizer.iterations.assign(0)
    saver.on_train_begin()
    saved = []
    for epoch in range(2):
        saver.on_epoch_begin(epoch)
        for batch in range(6):
            model.optimizer.iterations.assign_add(1)
            saver.on_train_batch_end(batch)
            checkpoints.wait()
            saved += [path[-7:-4] for path in checkpoints.paths() if path[-7:-4] not in saved]
    assert saved == ["004", "006", "008", "012"]
    assert [path[-7:-4] for path in checkpoints.paths()] == ["006", "008", "012"]
    assert checkpoints.restore(model).position == Position(1, 6)


def test_damaged_states_are_passed_over(model, tmp_path, capsys):
    checkpoints = Checkpoints(tmp_path, keep=3)
    for step in (1, 2, 3):
        model.optimizer.iterations.assign(step)
        checkpoints.save(model, Position(0, step))
    checkpoints.wait()
    (tmp_path / "step-000000009.npz.writing").write_bytes(b"half of one")
    _, second, third = checkpoints.paths()
    os.truncate(third, 5000)
    with open(second, "r+b") as file:
        file.seek(20000)  # inside of the numbers: only the checksum can tell
        file.write(b"\x13" * 64)
    assert checkpoints.restore(model).position == Position(0, 1)
    printed = capsys.readouterr().out
    assert "step-000000003.npz is damaged" in printed and "step-000000002.npz is da" in printed
    assert int(model.optimizer.iterations) == 1


def test_states_of_another_model_or_optimizer_are_refused(model, tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(model, Position())
    checkpoints.wait()
    other = tiny_model(mask_channels=24)
    other.compile(keras.optimizers.SGD(0.1, momentum=0.9, use_ema=True))
    with pytest.raises(ValueError, match="another model or optimizer.*mask_head.*settings"):
        checkpoints.restore(other)
    other = tiny_model()
    other.compile(keras.optimizers.SGD(0.1))
    with pytest.raises(ValueError, match="another model or optimizer.*_average"):
        checkpoints.restore(other)


def test_a_state_that_cannot_be_written_is_no_secret(model, tmp_path):
    (tmp_path / "file").write_text("in the way of the folder")
    checkpoints = Checkpoints(tmp_path / "file")
    checkpoints.save(model, Position())
    with pytest.raises(OSError, match="file"):
        checkpoints.wait()
    with pytest.raises(ValueError, match="keep must be at least 1"):
        Checkpoints(tmp_path, keep=0)
    assert Restored().position == Position(0, 0)
