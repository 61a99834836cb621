"""Lets a program end while a dataset still reads ahead."""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable

_QUIET_SECONDS = 0.2
_MOST_SECONDS = 10.0


class _Calls:
    """What threads of tf.data call, until the program ends.

    At the end of a program Python stops every thread that calls into it, and TensorFlow waits for
    its threads: with an iterator left that reads ahead, it would wait for ever. So before that
    calls are answered with something that costs nothing, which nobody takes any more, so that what
    is read ahead is full at once; and those that run are waited for.
    """

    def __init__(self):
        self._lock = threading.Lock()
        self._running = 0
        self._last = -_QUIET_SECONDS
        self._is_ending = False

    def wrap(self, function: Callable, at_the_end: Callable) -> Callable:
        """The function, which calls another one in its place when the program ends."""

        def call(*arguments):
            with self._lock:
                self._running += 1
                chosen = at_the_end if self._is_ending else function
            try:
                return chosen(*arguments)
            finally:
                with self._lock:
                    self._running -= 1
                    self._last = time.monotonic()

        return call

    def end(self) -> None:
        with self._lock:
            self._is_ending = True
        latest = time.monotonic() + _MOST_SECONDS
        while time.monotonic() < latest:
            with self._lock:
                if not self._running and time.monotonic() - self._last > _QUIET_SECONDS:
                    return
            time.sleep(0.01)


_calls = _Calls()
atexit.register(_calls.end)
until_program_ends = _calls.wrap
