"""Chromium's DevTools protocol, spoken over a pair of pipes."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

# Chromium reads commands from descriptor 3 and answers on 4; Popen has no way to number them.
_EXEC = """
import os, sys
for given, number in zip(sys.argv[1:3], (3, 4)):
    os.dup2(int(given), number)
os.execvp(sys.argv[3], sys.argv[3:])
"""


class DevTools:
    """A browser as a process, and messages to and from it.

    Commands and events are those of https://chromedevtools.github.io/devtools-protocol. One thread
    at a time: events are handed on while an answer is waited for.

    Args:
        command: the browser with its arguments, `--remote-debugging-pipe` among them.
        log: the file that gets what it prints.
        on_event: called with every event, a dict with `method`, `params` and, if it comes from a
            page or a worker, `sessionId`.
    """

    def __init__(self, command: list[str], log: Path, on_event: Callable[[dict], None]):
        self._on_event = on_event
        self._log = log
        self._buffer = bytearray()
        self._last = 0
        self._answers: dict[int, dict] = {}
        browser_reads, self._write = os.pipe()
        self._read, browser_writes = os.pipe()
        # Above 4, so that neither is overwritten while they get their numbers.
        given = [_moved_up(descriptor) for descriptor in (browser_reads, browser_writes)]
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _EXEC, *map(str, given), *command],
                pass_fds=given,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        for descriptor in given:
            os.close(descriptor)

    def send(self, method: str, session: str | None = None, **parameters) -> int:
        """Send a command without waiting for the answer; its number."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        data = memoryview(json.dumps(message).encode() + b"\0")
        try:
            while data:
                data = data[os.write(self._write, data) :]
        except BrokenPipeError:
            raise self._ended() from None
        return self._last

    def call(
        self, method: str, session: str | None = None, *, timeout: float = 60.0, **parameters
    ) -> dict:
        """Send a command and wait for its result.

        Raises:
            RuntimeError: the browser refuses the command.
            TimeoutError: there is no answer within `timeout` seconds.
            OSError: the browser has ended.
        """
        number = self.send(method, session, **parameters)
        self.wait_until(lambda: number in self._answers, method, timeout)
        answer = self._answers.pop(number)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error'].get('message')}")
        return answer["result"]

    def wait_until(self, is_done: Callable[[], bool], what: str, timeout: float = 60.0) -> None:
        """Take messages until there is nothing more to wait for.

        Raises:
            TimeoutError: that did not happen within `timeout` seconds.
            OSError: the browser has ended.
        """
        end = time.monotonic() + timeout
        while not is_done():
            if not select.select([self._read], [], [], max(end - time.monotonic(), 0.0))[0]:
                raise TimeoutError(f"the browser did not answer within {timeout:g} s: {what}")
            data = os.read(self._read, 1 << 20)
            if not data:
                raise self._ended()
            self._take(data)

    def close(self) -> None:
        """End the browser and all of its processes; a second call does nothing."""
        if self._process is None:
            return
        with contextlib.suppress(OSError, RuntimeError):
            self.call("Browser.close", timeout=5.0)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5.0)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # also what it left behind
        self._process.wait()
        self._process = None
        os.close(self._read)
        os.close(self._write)

    def _take(self, data: bytes) -> None:
        self._buffer += data
        # An answer of megabytes comes in many pieces, of which the last alone has an end.
        if b"\0" not in data:
            return
        *messages, rest = bytes(self._buffer).split(b"\0")
        self._buffer = bytearray(rest)
        for message in map(json.loads, messages):
            if "id" in message:
                self._answers[message["id"]] = message
            else:
                self._on_event(message)

    def _ended(self) -> OSError:
        said = self._log.read_text(encoding="utf-8", errors="replace").split()
        return OSError(f"the browser has ended: {' '.join(said)[-500:]}")


def _moved_up(descriptor: int) -> int:
    import fcntl

    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 5)
    os.close(descriptor)
    return moved
