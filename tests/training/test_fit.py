import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import mrcnn_tf
from mrcnn_tf.data import shapes
from mrcnn_tf.training import StopOnNonFiniteLoss, fit
from scripts.launch_workers import free_ports
from tests.models.test_detector import dataset
from tests.models.tiny import tiny_model

ROOT = Path(__file__).resolve().parents[2]


class Steps(keras.callbacks.Callback):
    """Notes the steps that it is told of, and ends the training after `last`."""

    def __init__(self, last=None):
        super().__init__()
        self.seen, self.last = [], last

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append(batch)
        self.model.stop_training = batch == self.last


def compiled(learning_rate=0.001):
    model = tiny_model()
    model.compile(optimizer=keras.optimizers.SGD(learning_rate, momentum=0.9))
    return model


def test_it_does_what_keras_does():
    batches = dataset().apply(tf.data.experimental.assert_cardinality(2))
    arguments = {"epochs": 2, "validation_data": batches, "validation_freq": 2, "verbose": 0}
    expected, model = compiled(), compiled()
    history = expected.fit(batches, **arguments).history
    steps = Steps()
    found = fit(model, batches, callbacks=[steps], steps_per_call=2, **arguments).history
    assert found.keys() == history.keys()
    for name, values in history.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-6, err_msg=name)
    assert steps.seen == [1, 1] and int(model.optimizer.iterations) == 4
    for ours, keras_weight in zip(model.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_allclose(ours, keras_weight, rtol=1e-6, atol=1e-7)


@pytest.mark.slow
def test_accumulated_batches_are_one_step():
    """The mean over a batch and the same batch again is that of the batch."""
    once, twice = compiled(), compiled()
    steps = Steps(last=1)
    fit(once, dataset(1), steps_per_epoch=2, epochs=3, verbose=0, callbacks=[steps])
    assert steps.seen == [0, 1]  # told to stop
    fit(twice, dataset(1), steps_per_epoch=2, verbose=0, accumulate=2, steps_per_call=2)
    assert int(twice.optimizer.iterations) == 2
    for expected, found in zip(once.get_weights(), twice.get_weights(), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_a_call_of_several_steps_ends_at_a_loss_that_is_not_finite():
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([1], [1e-3, 1e30])
    model = compiled(schedule)
    with pytest.raises(FloatingPointError, match="At step 4 "):
        fit(
            model,
            dataset(),
            steps_per_epoch=8,
            verbose=0,
            callbacks=[StopOnNonFiniteLoss()],
            steps_per_call=8,
        )


def test_what_it_cannot_do_is_said():
    model = tiny_model()
    with pytest.raises(ValueError, match="call model.compile"):
        fit(model, dataset())
    model.compile(optimizer="sgd")
    with pytest.raises(TypeError, match="takes no batch_size, shuffle"):
        fit(model, dataset(), batch_size=2, shuffle=True)
    with pytest.raises(ValueError, match="accumulate must be at least 1"):
        fit(model, dataset(), accumulate=0)
    with pytest.raises(ValueError, match="is endless; give steps_per_epoch"):
        fit(model, dataset().repeat())
    with pytest.raises(ValueError, match="has an unknown length"):
        fit(model, dataset(), steps_per_call=2)
    model.compile(optimizer=keras.optimizers.SGD(0.1, gradient_accumulation_steps=2))
    with pytest.raises(ValueError, match="Give fit accumulate"):
        fit(model, dataset())
    model.compile(optimizer="sgd", steps_per_execution=2)
    with pytest.raises(ValueError, match="steps_per_call"):
        fit(model, dataset())


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    for stem, count in (("train", 8), ("val", 5)):
        shapes.generate(folder, count, stem=stem, image_size=96, progress=False)
    return folder


def command(*words):
    return [sys.executable, "-m", "tests.training.distributed_run", *map(str, words)]


@pytest.mark.slow
def test_replicas_and_workers_train_as_one_device(scenes, tmp_path):
    starts = {
        "none": [],
        "mirrored": [],
        "multi_worker": [ROOT / "scripts" / "launch_workers", "2"],
    }
    rows, weights = {}, {}
    for strategy, launcher in starts.items():
        out = tmp_path / strategy
        subprocess.run(
            [*launcher, *command(strategy, scenes, out)],
            cwd=ROOT,
            env={**os.environ, "MRCNN_TF_REQUIRE_OPS": "1", "PYTHON": sys.executable},
            check=True,
            timeout=300,
        )
        models = ["best.keras", "checkpoints", "model.keras"]
        texts = ["log.csv", "recipe.yaml", "report.html", "settings.json", "times.csv"]
        assert sorted(os.listdir(out)) == sorted([*models, *texts])
        with open(out / "log.csv") as file:
            rows[strategy] = list(csv.DictReader(file))
        model = mrcnn_tf.load(out / "model.keras")
        assert int(model.optimizer.iterations) == 20
        weights[strategy] = model.get_weights()
    assert len(rows["none"]) == 4 and rows["none"][3]["val_box_ap"]
    for strategy in ("mirrored", "multi_worker"):
        for found, expected in zip(rows[strategy], rows["none"], strict=True):
            for name, value in expected.items():
                if name.startswith("val_"):
                    assert (found[name] == "") == (value == "")
                if value:
                    assert float(found[name]) == pytest.approx(float(value), abs=1e-4), name
        for found, expected in zip(weights[strategy], weights["none"], strict=True):
            scale = np.linalg.norm(expected)
            assert np.linalg.norm(found - expected) <= 1e-4 * scale + 1e-7


@pytest.mark.slow
@pytest.mark.parametrize("stops", [0, 1])
def test_a_worker_that_does_not_answer_is_named(scenes, tmp_path, stops):
    addresses = [f"localhost:{port}" for port in free_ports(2)]
    workers = []
    for index in range(2):
        task = {"type": "worker", "index": index}
        config = json.dumps({"cluster": {"worker": addresses}, "task": task})
        workers.append(
            subprocess.Popen(
                command("multi_worker", scenes, tmp_path, stops),
                cwd=ROOT,
                env={**os.environ, "TF_CONFIG": config},
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    try:
        # With the time until both have traced the model.
        _, error = workers[1 - stops].communicate(timeout=180)
    finally:
        for worker in workers:
            worker.kill()
    assert re.search(
        rf"ConnectionError: worker {stops} \({addresses[stops]}\) has ended or does not answer",
        error,
    )
