"""Runs the cases: alternating rounds, medians, agreement, memory."""

import contextlib
import os
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from mrcnn_tf.benchmark.bandwidth import copy_bandwidth
from mrcnn_tf.benchmark.cases import CASES, Case
from mrcnn_tf.benchmark.worker import Worker, tensorflow_command, torch_command

QUICK_SHRINK = 8
_SECONDS_A_ROUND = 0.1
_MOST_SECONDS_A_CALL = 30.0


def run_cases(
    names: Sequence[str] = tuple(CASES),
    rounds: int = 7,
    peers: str | os.PathLike | None = None,
    quick: bool = False,
    tell: Callable[[str], None] = lambda text: None,
) -> Iterator[dict]:
    """Times the compiled ops and what they are compared with, on the CPU with all its cores.

    Each library runs in a process of its own, on the same inputs, with the same number of threads.
    Ours and the peer take turns, `rounds` times each; the median of the rounds counts.

    Args:
        names: of `CASES`.
        rounds: of each side of each row.
        peers: a Python that has torch, torchvision and pycocotools, see `find_peers`; None leaves
            torchvision out.
        quick: sizes divided by 8, to see that everything runs. The figures mean nothing.
        tell: is told what is about to be measured.

    Yields:
        A row for each case and peer, a dict of

        - `case`, `peer`: names; `plain` is the twin in plain TensorFlow.
        - `ours_ms`, `peer_ms`: milliseconds a call.
        - `ratio`: the peer's time divided by ours.
        - `bound_ms`: the least time that the memory of this machine allows, see `Case.least_bytes`
          and `copy_bandwidth`; None where memory is not the limit.
        - `agreement`: see `mrcnn_tf.benchmark.agreement`.
        - `ours_peak_mib`, `peer_peak_mib`: growth of the process's memory during a call; None
          where it is not measured.

        A twin that takes more than 30 s a call has no row.

    Raises:
        ValueError: an unknown case, no round, or a side that cannot run.

    Example:

    ```python
    from mrcnn_tf.benchmark import run_cases

    if __name__ == "__main__":
        for row in run_cases(["nms_top1000"], rounds=3, quick=True):
            print(row["peer"], row["ratio"], row["agreement"])
    ```
    """
    unknown = [name for name in names if name not in CASES]
    if unknown:
        raise ValueError(f"no such case: {', '.join(unknown)}; there are {', '.join(CASES)}")
    if rounds < 1:
        raise ValueError(f"rounds must be positive, got {rounds}")
    threads = usable_cores()
    shrink = QUICK_SHRINK if quick else 1
    bandwidth = None
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mrcnn-tf-")))
        run = _Run(folder, rounds, threads, peers)
        ours = stack.enter_context(Worker(tensorflow_command(), threads))
        theirs = {False: stack.enter_context(Worker(tensorflow_command(), threads))}
        if peers is not None:
            theirs[True] = stack.enter_context(Worker(torch_command(peers), threads))
        for name in names:
            case = CASES[name]
            arrays = case.inputs(np.random.default_rng(0), shrink)
            np.savez(folder / "inputs.npz", **arrays)
            bound_ms = None
            if case.least_bytes is not None:
                if bandwidth is None:
                    tell("memory bandwidth")
                    bandwidth = copy_bandwidth(threads)
                bound_ms = 1e3 * case.least_bytes(arrays) / bandwidth
            tell(f"{name}: ours")
            ours.prepare(name, "compiled", folder / "inputs.npz")
            ours.seconds()
            our_result = ours.result(folder / "ours.npz")
            if case.memory:
                np.savez(folder / "small.npz", **case.inputs(np.random.default_rng(0), 8 * shrink))
                our_peak = run.peak(name, "compiled")
            for peer in _peers_of(case, peers is not None):
                tell(f"{name}: {peer}")
                worker = theirs[_needs_torch(peer)]
                worker.prepare(name, peer, folder / "inputs.npz")
                if worker.seconds() > _MOST_SECONDS_A_CALL:
                    continue
                ours_ms, peer_ms = run.alternate(ours, worker)
                yield {
                    "case": name,
                    "ours_ms": ours_ms,
                    "peer": peer,
                    "peer_ms": peer_ms,
                    "ratio": peer_ms / ours_ms,
                    "bound_ms": bound_ms,
                    "agreement": case.compare(our_result, worker.result(folder / "theirs.npz")),
                    "ours_peak_mib": our_peak if case.memory else None,
                    "peer_peak_mib": run.peak(name, peer) if case.memory else None,
                }


def count_rows(names: Sequence[str], with_torch: bool) -> int:
    """How many rows `run_cases` yields at most."""
    return sum(len(_peers_of(CASES[name], with_torch)) for name in names if name in CASES)


def find_peers() -> Path | None:
    """The Python of `scripts/setup_peers`, of the working folder or of the package's checkout."""
    for folder in (Path.cwd(), Path(__file__).resolve().parents[2]):
        python = folder / ".venv-peers" / "bin" / "python"
        if python.exists():
            return python
    return None


def usable_cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _Run:
    """What is the same for all cases of a run."""

    def __init__(self, folder: Path, rounds: int, threads: int, peers):
        self.folder, self.rounds, self.threads, self.peers = folder, rounds, threads, peers

    def alternate(self, ours: Worker, theirs: Worker) -> tuple[float, float]:
        """Median milliseconds a call of either, measured in turns."""
        # Once more before counting: the first call of either has traced and touched new memory.
        sides = [(worker, _calls_a_round(worker.seconds())) for worker in (ours, theirs)]
        rounds = [[worker.seconds(calls) for worker, calls in sides] for _ in range(self.rounds)]
        ours_seconds, theirs_seconds = zip(*rounds, strict=True)
        return 1e3 * statistics.median(ours_seconds), 1e3 * statistics.median(theirs_seconds)

    def peak(self, case: str, side: str) -> float:
        """MiB by which a fresh process grows during the case, after one on small inputs."""
        command = torch_command(self.peers) if _needs_torch(side) else tensorflow_command()
        with Worker(command, self.threads, memory=True) as worker:
            worker.prepare(case, side, self.folder / "small.npz")
            worker.seconds()
            worker.prepare(case, side, self.folder / "inputs.npz")
            return worker.peak_bytes() / 2**20


def _calls_a_round(seconds: float) -> int:
    return int(np.clip(_SECONDS_A_ROUND / max(seconds, 1e-9), 1, 1000))


def _needs_torch(peer: str) -> bool:
    return peer.startswith("torchvision")


def _peers_of(case: Case, with_torch: bool) -> list[str]:
    return [peer for peer in case.peers if with_torch or not _needs_torch(peer)]
