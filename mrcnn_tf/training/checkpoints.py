"""The whole state of a training, written beside it, and read again to go on to the same weights."""

import json
import os
import re
import zipfile
import zlib
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import keras
import numpy as np

from mrcnn_tf import replicas
from mrcnn_tf.progress import stage_of
from mrcnn_tf.training.callbacks import LogEpochs, SaveLastAndBest

_FORMAT = 1
_NAME = re.compile(r"step-(\d{9})\.npz")
# What callbacks remember from epoch to epoch, by the attribute that holds it.
_REMEMBERED = {
    LogEpochs: ("rows",),
    SaveLastAndBest: ("best",),
    keras.callbacks.EarlyStopping: ("wait", "best", "best_epoch", "stopped_epoch"),
    keras.callbacks.ReduceLROnPlateau: ("wait", "best", "cooldown_counter"),
}


class Position(NamedTuple):
    """Where a training stands: `step` optimizer steps of epoch `epoch` are done."""

    epoch: int = 0
    step: int = 0


class Restored(NamedTuple):
    """What a checkpoint says besides the variables.

    Attributes:
        position: where to go on.
        history: logs of the finished epochs by name.
        callbacks: state of each callback by its place and class.
    """

    position: Position = Position()
    history: dict[str, list[float]] = {}
    callbacks: dict[str, dict] = {}


class Checkpoints:
    """A folder of full states: weights, optimizer, moving average, loss scale, metrics, position.

    Random choices need no state, as they are functions of the seed and the step. Values are copied
    at once and written by a thread, under a temporary name that is renamed when the file is whole.

    Args:
        folder: made by the first `save`.
        keep: how many of the latest states stay.

    Example:

    >>> checkpoints = Checkpoints("runs/first/checkpoints")
    >>> checkpoints.save(model, Position(epoch=2, step=100))
    >>> checkpoints.wait()
    >>> checkpoints.restore(model).position
    Position(epoch=2, step=100)
    """

    def __init__(self, folder: str | os.PathLike, keep: int = 2):
        if keep < 1:
            raise ValueError(f"keep must be at least 1 checkpoint; got {keep}.")
        self.folder = os.fspath(folder)
        self.keep = keep
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoints")
        self._pending: Future | None = None

    def paths(self) -> list[str]:
        """Files of the folder that are whole by their name, the oldest first."""
        names = os.listdir(self.folder) if os.path.isdir(self.folder) else []
        return [os.path.join(self.folder, name) for name in sorted(names) if _NAME.fullmatch(name)]

    def save(
        self,
        model: keras.Model,
        position: Position,
        callbacks: Iterable[keras.callbacks.Callback] = (),
    ) -> None:
        """Copy the state, and write it in the background once the one before is written.

        Every worker of a strategy calls it; the first one writes.

        Raises:
            OSError: the state before could not be written.
        """
        # Copied, as the array that Keras gives may be the memory that the next step writes to.
        arrays = [np.array(v.value.numpy()) for _, v in _variables(model)]
        content = {
            "format": _FORMAT,
            "position": position,
            "variables": [name for name, _ in _variables(model)],
            "callbacks": {name: state for name, _, state in _states(callbacks)},
            "history": model.history.history,
        }
        self.wait()
        if replicas.worker(model.distribute_strategy).index == 0:
            path = os.path.join(
                self.folder, f"step-{int(model.optimizer.iterations.numpy()):09d}.npz"
            )
            text = json.dumps(content, default=float)
            self._pending = self._writer.submit(self._write, path, text, arrays)

    def wait(self) -> None:
        """Until the last state is on the disk; raises the error that kept it from there."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def restore(self, model: keras.Model) -> Restored | None:
        """Bring model and optimizer to the latest whole state of the folder.

        Args:
            model: compiled, of the same arguments and with the same optimizer as when it was saved.

        Returns:
            Where to go on, for `SaveCheckpoints`, or None where there is no state.

        Raises:
            ValueError: the latest state is of another model, optimizer or release, or workers find
                different ones.
        """
        model.build_optimizer()
        restored = self._restore_latest(model)
        strategy = model.distribute_strategy
        position = list(restored.position) if restored else None
        if any(other != position for other in replicas.gather(strategy, [position])):
            raise ValueError(
                f"{self.folder} is not the same to all workers: to go on, each of them has to read "
                "the states that the first one wrote. Give a folder that they share."
            )
        return restored

    def _restore_latest(self, model: keras.Model) -> Restored | None:
        for path in reversed(self.paths()):
            try:
                content, arrays = _read(path)
            except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error) as e:
                print(f"{path} is damaged ({e}): going back to the one before it")
                continue
            _assign(path, model, content, arrays)
            position = Position(*content["position"])
            return Restored(position, content["history"], content["callbacks"])
        return None

    def _write(self, path: str, text: str, arrays: list[np.ndarray]) -> None:
        os.makedirs(self.folder, exist_ok=True)
        temporary = f"{path}.writing"
        named = {f"{index:05d}": array for index, array in enumerate(arrays)}
        with open(temporary, "wb") as file:
            np.savez(file, content=np.frombuffer(text.encode(), np.uint8), **named)
            file.flush()
            os.fsync(file.fileno())  # or the name could be on the disk before the bytes are
        os.replace(temporary, path)
        for old in self.paths()[: -self.keep]:
            os.remove(old)


class SaveCheckpoints(keras.callbacks.Callback):
    """Save the whole state every so many steps, and at the end of every epoch.

    The state of an epoch's end is that before its evaluation, which is done again after an
    interruption.

    Args:
        checkpoints: where to.
        every: optimizer steps between two states; None: at the end of epochs alone.
        callbacks: those before this one in the list, of which some remember something.
        restored: what `Checkpoints.restore` gave; the callbacks go on from there.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        every: int | None,
        callbacks: list[keras.callbacks.Callback],
        restored: Restored | None = None,
    ):
        super().__init__()
        self.checkpoints = checkpoints
        self.every = every
        self.callbacks = callbacks
        self.restored = restored or Restored()
        self._epoch, self._saved = 0, 0

    def on_train_begin(self, logs=None):
        self._saved = int(self.model.optimizer.iterations.numpy())
        # Only now: callbacks of Keras forget what they know when a training begins.
        self.model.history.history.update(self.restored.history)
        for name, callback, _ in _states(self.callbacks):
            for attribute, value in self.restored.callbacks.get(name, {}).items():
                setattr(callback, attribute, value)

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        step = int(self.model.optimizer.iterations.numpy())
        is_due = self.every is not None and step // self.every > self._saved // self.every
        if is_due or batch + 1 == self.params["steps"]:
            position = Position(self._epoch, batch + 1)
            with stage_of(self, "saving", "writing a checkpoint"):
                self.checkpoints.save(self.model, position, self.callbacks)
            self._saved = step

    def on_train_end(self, logs=None):
        with stage_of(self, "saving", "writing a checkpoint"):
            self.checkpoints.wait()


def _variables(model: keras.Model) -> list[tuple[str, keras.Variable]]:
    """Everything that training changes, with names that a second model in a process has too."""
    own = [(variable.path, variable) for variable in [*model.variables, *model.metrics_variables]]
    # Optimizers are called sgd, sgd_1, ... in the order in which they were made.
    return own + [(v.path.partition("/")[2], v) for v in model.optimizer.variables]


def _read(path: str) -> tuple[dict, list[np.ndarray]]:
    with np.load(path) as file:  # the archive's checksums are checked on the way
        content = json.loads(file["content"].tobytes())
        return content, [file[name] for name in sorted(set(file.files) - {"content"})]


def _assign(path: str, model: keras.Model, content: dict, arrays: list[np.ndarray]) -> None:
    variables = _variables(model)
    if content["format"] != _FORMAT:
        raise ValueError(f"{path} is of another release of mrcnn_tf: finish the run with that one.")
    saved = list(zip(content["variables"], (array.shape for array in arrays), strict=True))
    own = [(name, tuple(variable.shape)) for name, variable in variables]
    if saved != own:
        differing = [a for a, b in zip(saved, own, strict=False) if a != b] or saved[len(own) :]
        name, shape = (differing or own[len(saved) :])[0]
        raise ValueError(
            f"{path} is of another model or optimizer: {len(saved)} variables, here {len(own)}; "
            f"the first that differs is {name} {shape}. Go on with the settings that the run was "
            "started with."
        )
    for (_, variable), array in zip(variables, arrays, strict=True):
        variable.assign(array)


def _states(callbacks) -> list[tuple[str, keras.callbacks.Callback, dict]]:
    """Name, callback and state of each that remembers something."""
    found = []
    for index, callback in enumerate(callbacks):
        for kind, names in _REMEMBERED.items():
            if isinstance(callback, kind):
                state = {name: getattr(callback, name) for name in names}
                found.append((f"{index} {kind.__name__}", callback, state))
    return found
