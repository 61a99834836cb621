"""`mrcnn-tf benchmark`: how fast ops, models and data are here, beside other libraries'."""

import argparse
import itertools
import os

from mrcnn_tf.cli import benchmark_inference, benchmark_pipeline, benchmark_runtimes
from mrcnn_tf.cli.benchmark_rows import collect_rows

EXAMPLES = """
examples:
  mrcnn-tf benchmark ops
  mrcnn-tf benchmark ops --cases roi_align_7 nms_12000 --rounds 15 --json figures.json
  mrcnn-tf benchmark ops --peers /opt/torch/bin/python
  mrcnn-tf benchmark ops --quick
  mrcnn-tf benchmark inference
  mrcnn-tf benchmark inference --backbone resnet101 --size 640 960 --json figures.json
  mrcnn-tf benchmark runtimes runs/first/best.keras --size 480 640
  mrcnn-tf benchmark pipeline --data photos --split train --batch-size 4

Ours and the peer take turns on the same inputs, on the CPU with all its cores, each in a process of
its own; the medians count. Before you measure, let nothing else run.

ops: peers are tf.image, torchvision, and "plain": the same op of this package in plain TensorFlow.
ratio is the peer's time divided by ours, bound the least time that this machine's memory allows.

inference: a forward pass to boxes and masks beside torchvision's; then with and without a keypoint
head, and the convolutions of that head alone.

runtimes: a model exported to each format, in the programs that run it, beside TensorFlow with
compiled ops; all in turns on one generated scene. LiteRT runs two files, litert and
litert-custom-ops: one of its builtins, one of the compiled ops.

pipeline: from image files to batches with masks, beside torchvision's reference pipeline.

cases of ops:
"""

_OPTIONS = {
    "ops": ("cases", "quick"),
    "inference": tuple(benchmark_inference.DEFAULTS),
    "runtimes": benchmark_runtimes.OPTIONS,
    "pipeline": tuple(benchmark_pipeline.DEFAULTS),
}
_HOW_TO_GET_PEERS = (
    "torchvision is left out: there is no .venv-peers/bin/python; scripts/setup_peers makes it, "
    "and --peers PYTHON names another one"
)


def add_parser(subparsers: argparse._SubParsersAction) -> argparse.ArgumentParser:
    from mrcnn_tf.benchmark.cases import CASES

    parser = subparsers.add_parser(
        "benchmark",
        help="time ops, models and reading of data beside other libraries'",
        description="Time the compiled ops, whole models, or the reading of data, beside those of "
        "other libraries.",
        epilog=EXAMPLES + "\n".join(f"  {name:<18} {case.what}" for name, case in CASES.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", choices=tuple(_OPTIONS), help="what is timed")
    parser.add_argument(
        "--rounds", type=int, default=7, metavar="N", help="turns of either side (default: 7)"
    )
    parser.add_argument(
        "--peers",
        metavar="PYTHON",
        help="Python that has torch, torchvision and pycocotools "
        "(default: .venv-peers/bin/python if it is there)",
    )
    parser.add_argument("--json", metavar="FILE", help="also write the rows to a JSON file")
    group = parser.add_argument_group("options of ops")
    group.add_argument("--cases", nargs="+", metavar="CASE", help="some of the cases only")
    group.add_argument(
        "--quick",
        action="store_true",
        default=None,
        help="an eighth of every size, to see that everything runs; such figures mean nothing",
    )
    benchmark_inference.add_options(parser)
    benchmark_pipeline.add_options(parser)
    benchmark_runtimes.add_options(parser)
    parser.set_defaults(run=run)
    return parser


def run(args: argparse.Namespace) -> int:
    from mrcnn_tf.benchmark import find_peers

    for name in dict.fromkeys(itertools.chain(*_OPTIONS.values())):
        if name not in _OPTIONS[args.what] and getattr(args, name) is not None:
            option = "MODEL" if name == "model" else f"--{name.replace('_', '-')}"
            raise ValueError(f"{option} is no option of benchmark {args.what}")
    if args.what == "runtimes":
        _warn_if_busy()
        return benchmark_runtimes.run_runtimes(args)
    peers = args.peers or find_peers()
    if args.peers and not os.access(args.peers, os.X_OK):
        raise ValueError(f"--peers: there is no program {args.peers}; see scripts/setup_peers")
    if peers is None:
        print(_HOW_TO_GET_PEERS)
    _warn_if_busy()
    if args.what == "inference":
        return benchmark_inference.run_inference(args, peers)
    if args.what == "pipeline":
        return benchmark_pipeline.run_pipeline(args, peers)
    return _run_ops(args, peers)


def _warn_if_busy() -> None:
    busy = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if busy > 0.5:
        print(f"other programs keep {busy:.1f} cores busy: the figures will be off, ratios as well")


def _run_ops(args: argparse.Namespace, peers) -> int:
    from mrcnn_tf.benchmark import CASES, count_rows, run_cases

    cases, is_quick = args.cases or list(CASES), bool(args.quick)
    collect_rows(
        lambda tell: run_cases(cases, args.rounds, peers, is_quick, tell=tell),
        count_rows(cases, peers is not None),
        lambda rows: [_table(rows, is_quick)],
        args.json,
    )
    return 0


def _table(rows: list[dict], is_quick: bool):
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from mrcnn_tf.benchmark.agreement import describe

    title = "an eighth of every size: these figures mean nothing" if is_quick else None
    table = Table(title=title, box=SIMPLE_HEAD)
    for column in ("case", "peer"):
        table.add_column(column, no_wrap=True)
    for column in ("ours ms", "peer ms", "ratio", "bound ms"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("agreement", no_wrap=True)
    shows_memory = any(row["ours_peak_mib"] is not None for row in rows)
    if shows_memory:
        table.add_column("peak MiB", justify="right")
    for row in rows:
        cells = [row["case"], row["peer"], _number(row["ours_ms"]), _number(row["peer_ms"])]
        cells += [f"{row['ratio']:.1f}", _number(row["bound_ms"]), describe(row["agreement"])]
        if shows_memory:
            peaks = [row["ours_peak_mib"], row["peer_peak_mib"]]
            cells.append("" if None in peaks else " / ".join(f"{peak:.1f}" for peak in peaks))
        table.add_row(*cells)
    return table


def _number(milliseconds: float | None) -> str:
    if milliseconds is None:
        return ""
    return f"{milliseconds:.2f}" if milliseconds < 10 else f"{milliseconds:.1f}"
