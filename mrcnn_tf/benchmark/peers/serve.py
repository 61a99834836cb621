"""The loop of a worker process: takes one request a line, times what it was asked to prepare.

This file is shared by the worker that has TensorFlow and the one that has torch, each of which
hands in its own `prepare`. It needs NumPy only.
"""

import gc
import json
import os
import resource
import sys
import time
import traceback
from collections.abc import Callable

import numpy as np

# The call that is timed, and what makes NumPy arrays of its result, which is not.
Side = tuple[Callable[[], object], Callable[[object], dict[str, np.ndarray]]]


def serve(prepare: Callable[[str, str, dict[str, np.ndarray]], Side]) -> None:
    """Answers requests on standard input until it is closed.

    A request is a line of JSON with `do`: `prepare` (`case`, `side`, `inputs`: an .npz file),
    `time` (`calls`), `result` (`path` of the .npz file to write) or `peak`. An answer is a line of
    JSON: `seconds` a call, `peak_bytes`, or `error`.

    Args:
        prepare: `(case, side, arrays) -> (call, collect)`.
    """
    # Libraries print to standard output; the answers must not be among that.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    call = collect = None
    for line in sys.stdin:
        request = json.loads(line)
        answer: dict = {}
        try:
            if request["do"] == "prepare":
                with np.load(request["inputs"]) as file:
                    arrays = {name: file[name] for name in file.files}
                call, collect = prepare(request["case"], request["side"], arrays)
                del arrays
            elif request["do"] == "time":
                answer["seconds"] = _seconds(call, request["calls"])
            elif request["do"] == "result":
                np.savez(request["path"], **collect(call()))
            elif request["do"] == "peak":
                answer["peak_bytes"] = _peak(call)
        except Exception:  # whatever it is, the other process is to tell it
            answer["error"] = traceback.format_exc()
        print(json.dumps(answer), file=answers, flush=True)


def _seconds(call, calls: int) -> float:
    gc.collect()
    gc.disable()
    try:
        start = time.perf_counter()
        for _ in range(calls):
            call()
        return (time.perf_counter() - start) / calls
    finally:
        gc.enable()


def _peak(call) -> int:
    """By how many bytes the memory of this process grows at most during a call."""
    gc.collect()
    try:
        # Linux forgets the highest resident size so far, so that reading inputs does not count.
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
        before = _status("VmRSS")
        call()
        return max(_status("VmHWM") - before, 0)
    except OSError:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        call()
        return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024


def _status(key: str) -> int:
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(key))
