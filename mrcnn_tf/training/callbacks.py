"""What happens beside the training loop: nothing is lost, and nothing goes wrong in silence."""

import csv
import math
import os

import keras


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
        save_atomically(self.model, os.path.join(self.folder, "model.keras"))
        value = (logs or {}).get(self.monitor)
        if value is None and self.best > -math.inf:
            return
        if value is None or value > self.best:
            self.best = self.best if value is None else value
            save_atomically(self.model, os.path.join(self.folder, "best.keras"))


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
        columns = list(dict.fromkeys(name for row in self.rows for name in row))
        with open(f"{self.path}.saving", "w", newline="") as file:
            writer = csv.DictWriter(file, columns, restval="")
            writer.writeheader()
            writer.writerows(self.rows)
        os.replace(f"{self.path}.saving", self.path)


class StopWithoutProgress(keras.callbacks.EarlyStopping):
    """Keras's `EarlyStopping`, whose `patience` counts measurements instead of epochs.

    An epoch whose logs lack `monitor`, as those between two evaluations do, counts for nothing.
    """

    def get_monitor_value(self, logs):
        return (logs or {}).get(self.monitor)


class StopOnNonFiniteLoss(keras.callbacks.Callback):
    """Stop with an error that names the step and the losses as soon as a loss is not a number."""

    def on_train_batch_end(self, batch, logs=None):
        broken = {name: value for name, value in (logs or {}).items() if not math.isfinite(value)}
        if broken:
            step = int(self.model.optimizer.iterations.numpy())
            raise FloatingPointError(
                f"At step {step} these losses are not finite: "
                f"{', '.join(sorted(broken))}. Lower learning_rate, lengthen warmup_steps or set "
                "clip_norm; the last good state is the last one that was saved."
            )
