"""What happens beside the training loop: nothing is lost, and nothing goes wrong in silence."""

import csv
import math
import os

import keras

from mrcnn_tf import replicas
from mrcnn_tf.progress import Progress, since, stage_of


def save_atomically(model: keras.Model, path: str) -> None:
    """Save under a temporary name, then rename: a reader never sees half a file."""
    stem, suffix = os.path.splitext(path)
    temporary = f"{stem}.saving{suffix}"
    try:
        model.save(temporary)
        os.replace(temporary, path)
    finally:
        if os.path.exists(temporary):
            os.remove(temporary)


class SaveLastAndBest(keras.callbacks.Callback):
    """Keep `model.keras`, the last state, and `best.keras`, the one with the highest `monitor`.

    Put it behind the callback that adds `monitor` to the logs. As long as no epoch has reported
    it, the last state counts as the best.

    Args:
        folder: where the two files go.
        monitor: name in the logs; larger is better.
    """

    chief_only = True  # of several workers, see `fit`

    def __init__(self, folder: str, monitor: str):
        super().__init__()
        self.folder = folder
        self.monitor = monitor
        self.best = -math.inf

    def on_epoch_end(self, epoch, logs=None):
        self._save("model.keras")
        value = (logs or {}).get(self.monitor)
        if value is None and self.best > -math.inf:
            return
        if value is None or value > self.best:
            self.best = self.best if value is None else value
            self._save("best.keras")

    def _save(self, name: str) -> None:
        with stage_of(self, "saving", f"writing {name}"):
            save_atomically(self.model, os.path.join(self.folder, name))


class LogEpochs(keras.callbacks.Callback):
    """Write one row of logs an epoch to a CSV file, with every column that any epoch has had.

    Keras's `CSVLogger` knows only the columns of the first epoch, so it would lose AP that is
    measured less often than every epoch.

    Args:
        path: of the file, which is replaced as a whole after every epoch.
    """

    chief_only = True

    def __init__(self, path: str):
        super().__init__()
        self.path = path
        self.rows = []

    def on_epoch_end(self, epoch, logs=None):
        self.rows.append({"epoch": epoch, **(logs or {})})
        _write_rows(self.path, self.rows)


class LogTimes(keras.callbacks.Callback):
    """Write one row an epoch of where the time went to a CSV file, beside that of `LogEpochs`.

    It is a file of its own as it differs from run to run. One that is there is gone on with. An
    interrupted epoch has the times since the run went on.

    Args:
        path: of the file, which is replaced as a whole after every epoch.
    """

    chief_only = True

    def __init__(self, path: str):
        super().__init__()
        self.path = path
        self._before = None

    def on_train_begin(self, logs=None):
        self._before = None

    def on_epoch_end(self, epoch, logs=None):
        now = self.params["progress"].figures()
        row = {"epoch": epoch, **since(now, self._before)}
        self._before = now
        rows = []
        if os.path.exists(self.path):
            with open(self.path, newline="") as file:
                rows = [row for row in csv.DictReader(file) if int(row["epoch"]) < epoch]
        _write_rows(self.path, [*rows, row])


def _write_rows(path: str, rows: list[dict]) -> None:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with open(f"{path}.saving", "w", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
    os.replace(f"{path}.saving", path)


class ProgressLine(keras.callbacks.ProgbarLogger):
    """Keras's line of losses with images a second, and the seconds of a step by what it does."""

    def on_epoch_begin(self, epoch, logs=None):
        super().on_epoch_begin(epoch, logs)
        self._before = self.params["progress"].figures()

    def set_params(self, params):
        super().set_params(params)
        self.params = params  # which Keras's does not keep

    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(batch, {**(logs or {}), **self._times()})

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, {**(logs or {}), **self._times()})

    def _times(self) -> dict[str, float]:
        found = since(self.params["progress"].figures(), self._before)
        parts = ("input", "forward", "backward")
        times = {f"{part} s": found[f"seconds_{part}"] / max(found["steps"], 1) for part in parts}
        return {"images/s": found["images_per_second"], **times}


class StopWithoutProgress(keras.callbacks.EarlyStopping):
    """Keras's `EarlyStopping`, whose `patience` counts measurements instead of epochs.

    An epoch whose logs lack `monitor`, as those between two evaluations do, counts for nothing.
    """

    def get_monitor_value(self, logs):
        return (logs or {}).get(self.monitor)


class StopOnNonFiniteLoss(keras.callbacks.Callback):
    """Stop with an error as soon as a loss is not a number.

    It names the step and the losses and, in `mrcnn_tf.training.fit`, the images of the step.
    """

    def on_train_batch_end(self, batch, logs=None):
        broken = {name: value for name, value in (logs or {}).items() if not math.isfinite(value)}
        if not broken:
            return
        progress: Progress | None = (self.params or {}).get("progress")
        images = ""
        if progress is not None and progress.image_ids:
            # Losses are those of all workers, so that all of them are here.
            ids = replicas.gather(self.model.distribute_strategy, progress.image_ids)
            images = f" Its images are {', '.join(map(str, ids))}: look at their annotations."
        raise FloatingPointError(
            f"At step {int(self.model.optimizer.iterations.numpy())} these losses are not finite: "
            f"{', '.join(sorted(broken))}.{images} Lower learning_rate, lengthen warmup_steps or "
            "set clip_norm; the last good state is the last one that was saved."
        )
