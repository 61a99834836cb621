"""What a training does at this moment, and where its time has gone."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

# Every second of a run belongs to one of these. `backward` has the optimizer's update in it.
PARTS = (
    "tracing",
    "input",
    "forward",
    "backward",
    "validation",
    "evaluation",
    "saving",
    "other",
)
_STEP = ("input", "forward", "backward")


class Progress:
    """The clock of a training, which the steps themselves move on while they run.

    `mrcnn_tf.training.fit` gives it to callbacks as `self.params["progress"]`.

    Attributes:
        step: number of the optimizer step that runs or was the last, counted from 1.
        steps: steps that this process has begun.
        images: images that this process has learnt from.
        image_ids: `y["image_id"]` of the step's batch, of this worker; empty if the data have none.
        seconds: time by part, see `PARTS`.
        doing: the present stage in words.
        since: when it began, by `time.monotonic`.
    """

    def __init__(self, step: int = 0):
        self.step, self.steps, self.images = step, 0, 0
        self.image_ids: list[int] = []
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self.part, self.doing, self.since = "other", "starting", time.monotonic()
        self._lock = threading.Lock()  # replicas and the training loop report side by side

    def enter(self, part: str, doing: str, only_from: tuple[str, ...] = PARTS) -> None:
        """Begin another stage, or the next piece of the same one.

        Args:
            part: one of `PARTS`.
            doing: what a person is told if it takes long.
            only_from: parts that it can follow; after another one nothing changes.
        """
        with self._lock:
            if self.part in only_from:
                now = time.monotonic()
                self.seconds[self.part] += now - self.since
                self.part, self.doing, self.since = part, doing, now

    @contextlib.contextmanager
    def stage(self, part: str, doing: str) -> Iterator[None]:
        """Inside, that stage; afterwards the one before."""
        before = self.part, self.doing
        self.enter(part, doing)
        try:
            yield
        finally:
            self.enter(*before)

    def figures(self) -> dict[str, float]:
        """`steps`, `images` and `seconds_...` by part, all since the beginning."""
        self.enter(self.part, self.doing)
        seconds = {f"seconds_{part}": value for part, value in self.seconds.items()}
        return {"steps": self.steps, "images": self.images, **seconds}

    # What a step reports while it runs, through `tell`.

    def wait_for_images(self, part_of_step: np.ndarray) -> None:
        if part_of_step == 0:
            self.step, self.steps, self.image_ids = self.step + 1, self.steps + 1, []
        self.enter("input", f"waiting for images (step {self.step})")

    def compute(self, count: np.ndarray, image_ids: np.ndarray) -> None:
        self.images += int(count)
        self.image_ids += image_ids.tolist()
        self.enter("forward", f"step {self.step} is computing")

    def differentiate(self, _: np.ndarray) -> None:
        # The first replica that gets there decides for all.
        self.enter("backward", f"step {self.step} is computing gradients", only_from=("forward",))

    def finish_step(self, _: np.ndarray) -> None:
        self.enter("other", f"step {self.step} is done", only_from=_STEP)


def since(now: dict[str, float], before: dict[str, float] | None) -> dict[str, float]:
    """Two `Progress.figures` to those between them, with `images_per_second` of the steps."""
    found = {name: value - (before or {}).get(name, 0) for name, value in now.items()}
    seconds = sum(found[f"seconds_{part}"] for part in _STEP)
    return {**found, "images_per_second": found["images"] / seconds if seconds else 0.0}


def stage_of(callback, part: str, doing: str) -> contextlib.AbstractContextManager:
    """`Progress.stage` for a Keras callback; nothing where another loop than ours calls it."""
    progress = (callback.params or {}).get("progress")
    return contextlib.nullcontext() if progress is None else progress.stage(part, doing)


def tell(function: Callable, *values: tf.Tensor, after=()) -> list[tf.Operation]:
    """Call a function of this process in the course of a step, also within a graph.

    Values are copied to the host for it, so a GPU has computed them by then. (`tf.timestamp` could
    not be used: it is an error under op determinism.)

    Args:
        function: takes NumPy arrays; changes nothing that is computed.
        *values: of which it gets the values.
        after: tensors that have to be there before.

    Returns:
        What control dependencies can wait for.
    """
    with tf.control_dependencies(after), tf.device("CPU:0"):
        done = tf.numpy_function(function, [tf.identity(value) for value in values], [])
    return [] if tf.executing_eagerly() else [done]
