"""The training loop, under any strategy of `tf.distribute` or none."""

import contextlib
from collections.abc import Iterator

import keras
import tensorflow as tf

from mrcnn_tf import replicas
from mrcnn_tf.models.detector import Detector
from mrcnn_tf.progress import Progress
from mrcnn_tf.training.callbacks import ProgressLine
from mrcnn_tf.training.steps import repeated, test_step, train_step
from mrcnn_tf.training.strategy import as_lost_worker
from mrcnn_tf.training.watch import Watch

# Keras callbacks that do nothing but write: all workers would write the same file.
WRITERS = (
    keras.callbacks.CSVLogger,
    keras.callbacks.ModelCheckpoint,
    keras.callbacks.TensorBoard,
)

Data = tf.data.Dataset | tf.distribute.DistributedDataset


def fit(
    model: Detector,
    data: Data,
    epochs: int = 1,
    verbose: int | str = "auto",
    callbacks: list[keras.callbacks.Callback] | None = None,
    validation_data: Data | None = None,
    initial_epoch: int = 0,
    steps_per_epoch: int | None = None,
    validation_steps: int | None = None,
    validation_freq: int = 1,
    *,
    steps_per_call: int = 1,
    accumulate: int = 1,
    initial_step: int = 0,
    stall_seconds: float = 60.0,
    **unsupported,
) -> keras.callbacks.History:
    """Train like `model.fit`, on one device, on several, or on several machines.

    Keras's own `fit` fails under `MultiWorkerMirroredStrategy`, and under `MirroredStrategy` with
    several steps a call or with gradient accumulation. This loop is the same for all strategies:
    the one in whose scope the model was made. A step learns from one batch of `data`, which is
    divided among the replicas, and does what it would do on one device.

    Args:
        model: made and compiled inside `strategy.scope()`, or without a strategy.
        data: batches `(x, y)` of all replicas together, whose size is a multiple of their number;
            or a distributed dataset, whose elements belong to one replica each.
        epochs: as in Keras, like all arguments down to `validation_freq`.
        verbose: only the first worker prints.
        callbacks: run in every worker, but those that only write run in the first: Keras's
            `ModelCheckpoint`, `CSVLogger` and `TensorBoard`, and any with `chief_only = True`.
        validation_data: like `data`; its losses are added to the logs as `val_...`.
        initial_epoch: number of the first epoch.
        steps_per_epoch: optimizer steps; `data` is then repeated as often as needed. Default: one
            pass over `data`.
        validation_steps: batches of `validation_data`; all if not given.
        validation_freq: epochs between two validations.
        steps_per_call: steps that run before Python is asked again. Callbacks are told about the
            last one. A call ends early at a loss that is not finite.
        accumulate: batches of `data` whose gradients are averaged to one step. Memory is that of
            one batch, and each is divided by its own numbers of anchors and RoIs.
        initial_step: steps of the first epoch that were done before, with the metrics they left in
            the model; `data` goes on behind them. See `Checkpoints`.
        stall_seconds: when nothing has moved for so long, a line on standard error says what is
            being waited for, and again after twice the time, four times, ...

    Callbacks find a `mrcnn_tf.progress.Progress` in `self.params["progress"]`: the stage, the image
    ids of the last step, and how much time went into input, forward and backward pass.

    Returns:
        Keras's `History`.

    Raises:
        TypeError: another argument of `model.fit`, such as `batch_size`: the dataset decides.
        ValueError: the model is not compiled, or compiled with what this loop cannot do.
        ConnectionError: another worker has ended, or has not answered for some ten seconds.

    Example:

    ```python
    strategy = tf.distribute.MirroredStrategy()
    with strategy.scope():
        model = mrcnn_tf.MaskRCNN("resnet50", num_classes=2)
        model.compile(keras.optimizers.SGD(0.02, momentum=0.9))
    mrcnn_tf.training.fit(model, train, epochs=12, steps_per_epoch=1000)
    ```
    """
    _check(model, unsupported, steps_per_call=steps_per_call, accumulate=accumulate)
    strategy = model.distribute_strategy
    model.build_optimizer()
    steps = steps_per_epoch or _length(data, steps_per_call, accumulate)
    if steps_per_epoch is not None and isinstance(data, tf.data.Dataset):
        data = data.repeat()
    data = _distributed(strategy, data)
    progress = Progress(int(model.optimizer.iterations.numpy()))
    train = repeated(model, train_step(model, strategy, accumulate, progress))
    if validation_data is not None:
        validation_steps = validation_steps or _length(validation_data, steps_per_call)
        validation_data = _distributed(strategy, validation_data)
        validate = repeated(model, test_step(model, strategy))
    worker = replicas.worker(strategy)
    callbacks = list(callbacks or [])
    if worker.index:
        verbose, callbacks = 0, [each for each in callbacks if not _only_writes(each)]
    callbacks = keras.callbacks.CallbackList(
        callbacks + [ProgressLine()] * (verbose != 0),
        add_history=True,
        verbose=verbose,
        epochs=epochs,
        steps=steps,
        model=model,
        progress=progress,
    )

    def run(function, batches, steps, begin, end, is_stopped, done=0) -> dict[str, tf.Tensor]:
        logs = model.get_metrics_result() if done else {}
        while done != steps and not is_stopped():
            begin(done)
            count = steps_per_call if steps is None else min(steps_per_call, steps - done)
            if function is train:
                progress.step = int(model.optimizer.iterations.numpy())
                first = "tracing and optimising the first step"
                following = f"starting step {progress.step + 1}"
                progress.enter("tracing", following if progress.steps else first)
            else:
                progress.enter("validation", f"validating, step {done + 1}")
            try:
                taken, logs = function(batches, tf.constant(count))
            except (tf.errors.OutOfRangeError, StopIteration):
                if steps is not None:
                    raise ValueError(f"The data ended after {done} of {steps} steps.") from None
                break
            done += int(taken)
            progress.enter("other", f"callbacks after step {progress.step}")
            end(done - 1, logs)
        return logs

    label = f"worker {worker.index}: " if worker.count > 1 else ""
    with Watch(progress, stall_seconds, label), _lost_workers_are_named(strategy):
        model.stop_training = False
        callbacks.on_train_begin()
        batches, logs = None, {}
        # `BackupAndRestore` leaves the epoch to go on with in the model.
        first_epoch = model._initial_epoch or initial_epoch
        for epoch in range(first_epoch, epochs):
            done = initial_step if epoch == first_epoch else 0
            if not done:
                model.reset_metrics()
            callbacks.on_epoch_begin(epoch)
            if batches is None or steps_per_epoch is None:
                batches = iter(data)
            hooks = callbacks.on_train_batch_begin, callbacks.on_train_batch_end
            logs = run(train, batches, steps, *hooks, lambda: model.stop_training, done)
            if validation_data is not None and (epoch + 1) % validation_freq == 0:
                model.reset_metrics()
                callbacks.on_test_begin()
                hooks = callbacks.on_test_batch_begin, callbacks.on_test_batch_end
                found = run(
                    validate, iter(validation_data), validation_steps, *hooks, lambda: False
                )
                callbacks.on_test_end(found)
                logs = {**logs, **{f"val_{name}": value for name, value in found.items()}}
            logs = {name: float(value) for name, value in logs.items()}
            callbacks.on_epoch_end(epoch, logs)
            if model.stop_training:
                break
        model.optimizer.finalize_variable_values(model.trainable_weights)
        callbacks.on_train_end(logs)
    return model.history


@contextlib.contextmanager
def _lost_workers_are_named(strategy: tf.distribute.Strategy) -> Iterator[None]:
    try:
        yield
    except tf.errors.OpError as error:
        lost = as_lost_worker(error, strategy)
        if lost is None:
            raise
        raise lost from None


def _check(model, unsupported: dict, **numbers: int) -> None:
    if unsupported:
        raise TypeError(
            f"fit takes no {', '.join(sorted(unsupported))}: batches, their size, order and "
            "weights are the dataset's; see mrcnn_tf.data.coco"
        )
    if not model.compiled:
        raise ValueError("The model has no optimizer; call model.compile(optimizer=...) first.")
    for name, number in numbers.items():
        if number < 1:
            raise ValueError(f"{name} must be at least 1; got {number}.")
    if model.steps_per_execution != 1:
        raise ValueError("Give fit steps_per_call instead of compile steps_per_execution.")
    if getattr(model.optimizer, "gradient_accumulation_steps", None):
        raise ValueError(
            "Give fit accumulate instead of the optimizer gradient_accumulation_steps, which "
            "fails under tf.distribute."
        )
    if model.jit_compile:
        raise ValueError("The model cannot be compiled by XLA; leave jit_compile out of compile.")


def _length(data: Data, steps_per_call: int, accumulate: int = 1) -> int | None:
    """Steps of one pass, or None where only the end of the data will tell."""
    count = int(data.cardinality()) if isinstance(data, tf.data.Dataset) else -2
    if count == tf.data.UNKNOWN_CARDINALITY and steps_per_call == accumulate == 1:
        return None
    if count < accumulate:
        found = {-1: "is endless", -2: "has an unknown length"}.get(count, f"has {count} batches")
        raise ValueError(f"The dataset {found}; give steps_per_epoch (or validation_steps).")
    return count // accumulate


def _distributed(strategy: tf.distribute.Strategy, data: Data) -> Data:
    if isinstance(data, tf.distribute.DistributedDataset):
        return data
    return strategy.experimental_distribute_dataset(data)


def _only_writes(callback: keras.callbacks.Callback) -> bool:
    return isinstance(callback, WRITERS) or getattr(callback, "chief_only", False)
