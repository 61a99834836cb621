"""`mrcnn-tf benchmark runtimes`: its options, its run and what it prints."""

import argparse

from mrcnn_tf.cli.benchmark_rows import collect_rows

OPTIONS = ("model", "size", "runtimes")


def add_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("options of runtimes")
    group.add_argument("model", nargs="?", metavar="MODEL", help="a .keras file or a preset")
    group.add_argument(
        "--runtimes",
        nargs="+",
        metavar="NAME",
        help="some of them only (default: all that are installed); --size is the canvas",
    )


def run_runtimes(args: argparse.Namespace) -> int:
    if args.model is None:
        raise ValueError("benchmark runtimes needs a model: mrcnn-tf benchmark runtimes MODEL")

    from mrcnn_tf.benchmark.runtimes import SIDES, time_runtimes

    names = args.runtimes or list(SIDES)
    size = None if args.size is None else tuple(args.size)
    collect_rows(
        lambda tell: time_runtimes(args.model, size, names, args.rounds, tell),
        1 + len(names),
        lambda rows: [_table(rows)],
        args.json,
    )
    return 0


def _table(rows: list[dict]):
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    height, width = rows[0]["size"]
    table = Table(title=f"1 x {height} x {width}", box=SIMPLE_HEAD, title_justify="left")
    table.add_column("runtime", no_wrap=True)
    for column in ("ms", "/ compiled ops", "detections"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("")
    for row in rows:
        cells = ["", "", ""]
        if row["ms"] is not None:
            cells = [f"{row['ms']:.1f}", f"{row['ratio']:.2f}", str(row["detections"])]
        table.add_row(row["runtime"], *cells, Text(row["left_out"] or ""))
    return table
