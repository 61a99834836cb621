"""What a person sees of a training while it runs, on a detector of one weight."""

import csv
import re
import subprocess
import sys
import threading
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from mrcnn_tf.models.detector import Detector, split_input
from mrcnn_tf.progress import PARTS, Progress, since
from mrcnn_tf.training import LogTimes, StopOnNonFiniteLoss, fit
from mrcnn_tf.training.watch import Watch


class OneWeight(Detector):
    loss_names = ("class_loss",)

    def __init__(self):
        super().__init__()
        self.factor = self.add_weight(shape=(), name="factor")

    def compute_losses(self, x, y, training, step):
        images, _ = split_input(x)
        return {"class_loss": tf.reduce_mean(tf.square(self.factor * images - 1.0))}


def compiled():
    model = OneWeight()
    model.compile(keras.optimizers.SGD(0.01))
    return model


def batches(broken=None, count=6):
    """Of two images each, ids 10 and 11, 12 and 13, ...; the `broken` one is not finite."""
    images = np.ones((2 * count, 1, 1, 3), np.float32)
    ids = np.arange(10, 10 + 2 * count)
    if broken is not None:
        images[broken - 10] = np.nan
    return tf.data.Dataset.from_tensor_slices((images, {"image_id": ids})).batch(2)


def slow_batches(seconds):
    def delayed(x):
        time.sleep(seconds)
        return x

    return batches().map(
        lambda x, y: (tf.ensure_shape(tf.py_function(delayed, [x], x.dtype), x.shape), y)
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, r"At step 4 .* class_loss, loss. Its images are 16, 17: "),
        ({"steps_per_call": 5}, r"At step 4 .* Its images are 16, 17: "),
        ({"accumulate": 2}, r"At step 2 .* Its images are 14, 15, 16, 17: "),
    ],
)
def test_a_loss_that_is_not_finite_names_its_images(arguments, message):
    with pytest.raises(FloatingPointError, match=message):
        fit(
            compiled(),
            batches(broken=17),
            steps_per_epoch=6 // arguments.get("accumulate", 1),
            callbacks=[StopOnNonFiniteLoss()],
            verbose=0,
            **arguments,
        )


ON_TWO_REPLICAS = """
import tensorflow as tf
[cpu] = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from mrcnn_tf.training import StopOnNonFiniteLoss, fit, make_strategy
from tests.test_progress import batches, compiled
with make_strategy("mirrored").scope():
    model = compiled()
try:
    fit(model, batches(broken=16), callbacks=[StopOnNonFiniteLoss()], steps_per_call=2, verbose=0)
except FloatingPointError as error:
    print(error)
"""


@pytest.mark.slow
def test_images_of_all_replicas_are_named():
    done = subprocess.run(
        [sys.executable, "-c", ON_TWO_REPLICAS], capture_output=True, text=True, timeout=300
    )
    assert re.match(r"At step 4 .* Its images are 16, 17: ", done.stdout), done.stderr[-2000:]


def test_every_second_has_a_place(tmp_path, capsys):
    class Slow(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            self.begun = time.monotonic()

        def on_train_batch_end(self, batch, logs=None):
            time.sleep(0.03)

        def on_epoch_end(self, epoch, logs=None):
            self.took = time.monotonic() - self.begun

    begun, slow = time.monotonic(), Slow()
    path = tmp_path / "times.csv"
    model = compiled()
    fit(model, slow_batches(0.05), epochs=2, callbacks=[slow, LogTimes(str(path))])
    took = time.monotonic() - begun
    with open(path) as file:
        rows = [{name: float(text) for name, text in row.items()} for row in csv.DictReader(file)]
    assert [(row["epoch"], row["steps"], row["images"]) for row in rows] == [(0, 6, 12), (1, 6, 12)]
    for row in rows:
        # Images are read ahead while a callback sleeps.
        assert row["seconds_input"] >= 0.1 and row["seconds_other"] >= 0.15
        assert row["seconds_forward"] > 0 and row["seconds_backward"] > 0
        assert 0 < row["images_per_second"] <= 12 / 0.1
    seconds = sum(row[f"seconds_{part}"] for row in rows for part in PARTS)
    assert slow.took <= seconds <= took
    assert re.search(r"images/s: [\d.]+ - input s: 0.0[2-9]", capsys.readouterr().out)

    # A run that goes on keeps the rows of the epochs before.
    fit(model, batches(), epochs=2, initial_epoch=1, callbacks=[LogTimes(str(path))], verbose=0)
    with open(path) as file:
        again = [row["epoch"] for row in csv.DictReader(file)]
    assert again == ["0", "1"]


def test_stages_follow_each_other():
    progress = Progress(step=4)
    progress.wait_for_images(np.array(0))
    progress.compute(np.array(2), np.array([3, 4]))
    progress.differentiate(np.array(1.0))
    begun = progress.since
    progress.differentiate(np.array(1.0))  # the second replica
    assert progress.since == begun and progress.part == "backward"
    with progress.stage("saving", "writing a checkpoint"):
        assert progress.doing == "writing a checkpoint"
    assert progress.doing == "step 5 is computing gradients" and progress.image_ids == [3, 4]
    now = progress.figures()
    assert now["seconds_saving"] > 0 and since(now, now)["images_per_second"] == 0


def test_a_stage_that_waits_says_so(capsys):
    released = threading.Event()

    def blocking():
        for index in range(3):
            if index == 2:
                released.wait(20)
            yield np.ones((2, 1, 1, 3), np.float32), {"image_id": np.array([1, 2])}

    signature = (
        tf.TensorSpec([2, 1, 1, 3], tf.float32),
        {"image_id": tf.TensorSpec([2], tf.int64)},
    )
    data = tf.data.Dataset.from_generator(blocking, output_signature=signature)
    lines = []

    def release():
        while len(lines) < 2 and not released.is_set():
            time.sleep(0.05)
            lines.extend(line for line in capsys.readouterr().err.splitlines() if "moved" in line)
        released.set()

    thread = threading.Thread(target=release)
    thread.start()
    fit(compiled(), data, verbose=0, stall_seconds=1.5)
    thread.join()
    waiting = [line for line in lines if "waiting for images (step 3)" in line]
    assert re.fullmatch(r"nothing has moved for 2 s: waiting for images \(step 3\)", waiting[0])
    assert "watch" not in {t.name for t in threading.enumerate()}


def test_the_watch_repeats_itself_less_and_less(capsys):
    progress = Progress()
    progress.enter("evaluation", "evaluating, image 30 of 100")
    with Watch(progress, 0.1, "worker 1: "):
        time.sleep(1.0)
    lines = capsys.readouterr().err.splitlines()
    assert 2 <= len(lines) <= 4  # after 0.1, 0.2, 0.4 and 0.8 s
    assert all(line.startswith("worker 1: nothing has moved for ") for line in lines)
    assert all(line.endswith(" s: evaluating, image 30 of 100") for line in lines)
    with pytest.raises(ValueError, match="stall_seconds must be positive; got 0"):
        Watch(progress, 0)
