"""A process that runs one library, and is asked for timings."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import mrcnn_tf

_PEERS = Path(__file__).parent / "peers"


class WorkerError(ValueError):
    """A worker could not start, or could not run a case."""


class Worker:
    """Holds the process, and one prepared case in it.

    TensorFlow and torch do not share a process well, and neither shares its threads with the one
    that draws the progress bar.

    Args:
        command: of the process.
        threads: for its library.
        memory: whether it is going to be asked for `peak`.
    """

    def __init__(self, command: list[str], threads: int, memory: bool = False):
        environment = {
            **os.environ,
            "MRCNN_TF_BENCHMARK_THREADS": str(threads),
            "MRCNN_TF_BENCHMARK_MEMORY": str(int(memory)),
            "OMP_NUM_THREADS": str(threads),
            # What is compared are the implementations for the CPU.
            "CUDA_VISIBLE_DEVICES": "",
        }
        # Ours has to be this very package; torch's environment is to find nothing of this one.
        environment.pop("PYTHONPATH", None)
        if Path(command[-1]).parent != _PEERS:
            paths = [str(Path(mrcnn_tf.__file__).resolve().parents[1])]
            paths += filter(None, [os.environ.get("PYTHONPATH")])
            environment["PYTHONPATH"] = os.pathsep.join(paths)
        self._name = Path(command[-1]).name
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  closed by __exit__
        self._process = subprocess.Popen(
            command,
            env=environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._errors.close()

    def prepare(self, case: str, side: str, inputs: str | os.PathLike) -> None:
        self._ask(do="prepare", case=case, side=side, inputs=os.fspath(inputs))

    def seconds(self, calls: int = 1) -> float:
        """Seconds a call, over a number of calls."""
        return self._ask(do="time", calls=calls)["seconds"]

    def result(self, path: str | os.PathLike) -> dict[str, np.ndarray]:
        """The result of a call; it passes through the file."""
        self._ask(do="result", path=os.fspath(path))
        with np.load(path) as file:
            return {name: file[name] for name in file.files}

    def peak_bytes(self) -> int:
        """By how much the memory of the process grows during a call."""
        return self._ask(do="peak")["peak_bytes"]

    def _ask(self, **request) -> dict:
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            self._errors.seek(0)
            last = self._errors.read().strip().rpartition("\n")[2]
            raise WorkerError(f"{self._name} ended with code {self._process.wait()}: {last}")
        reply = json.loads(answer)
        if "error" in reply:
            raise WorkerError(f"{self._name}, {request}: {reply['error']}")
        return reply


def tensorflow_command(module: str = "tensorflow_worker") -> list[str]:
    return [sys.executable, "-m", f"mrcnn_tf.benchmark.{module}"]


def torch_command(python: str | os.PathLike, module: str = "torch_worker") -> list[str]:
    return [os.fspath(python), str(_PEERS / f"{module}.py")]
