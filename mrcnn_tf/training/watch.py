"""A line for a person who wonders whether a training still runs."""

import sys
import threading
import time

from mrcnn_tf.progress import Progress


class Watch:
    """Says on standard error what a training is doing when nothing has moved for a while.

    Inside of `with`, a thread looks at the training's progress.

    Args:
        progress: whose stages and their pieces count as movement.
        seconds: after so many, after twice as many, four times, ... a line is printed.
        label: in front of the line, of several workers.

    Raises:
        ValueError: `seconds` is not positive.
    """

    def __init__(self, progress: Progress, seconds: float = 60.0, label: str = ""):
        if seconds <= 0:
            raise ValueError(f"stall_seconds must be positive; got {seconds}.")
        self.progress = progress
        self.seconds = seconds
        self.label = label
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look, name="watch", daemon=True)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *error) -> None:
        self._end.set()
        self._thread.join()

    def _look(self) -> None:
        seen, due = None, self.seconds
        while not self._end.wait(min(self.seconds / 4, 1.0)):
            doing, since = self.progress.doing, self.progress.since
            if since != seen:
                seen, due = since, self.seconds
            waited = time.monotonic() - since
            if waited >= due:
                print(
                    f"{self.label}nothing has moved for {waited:.0f} s: {doing}",
                    file=sys.stderr,
                    flush=True,
                )
                due = 2 * due
