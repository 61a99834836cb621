"""`mrcnn-tf benchmark pipeline`: its options, its run and what it prints."""

import argparse

DEFAULTS = {"data": None, "split": "train", "size": [800, 1333], "batch_size": 2}


def add_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("options of pipeline, which has --size and --batch-size too")
    group.add_argument("--data", metavar="FOLDER", help="a COCO folder, see mrcnn-tf train")
    group.add_argument("--split", metavar="STEM", help="its annotation file (default: train)")


def run_pipeline(args: argparse.Namespace, peers) -> int:
    from rich.console import Console
    from rich.progress import Progress

    from mrcnn_tf.benchmark import time_pipeline
    from mrcnn_tf.data import find_split
    from mrcnn_tf.data.write_json import write_json

    options = {
        name: default if getattr(args, name) is None else getattr(args, name)
        for name, default in DEFAULTS.items()
    }
    if options["data"] is None:
        raise ValueError("benchmark pipeline needs --data FOLDER, a COCO folder to read")
    images, annotations = find_split(options["data"], options["split"])
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("starting", total=(args.rounds + 1) * (1 + (peers is not None)))

        def tell(text: str) -> None:
            progress.update(task, description=text, advance=1)

        row = time_pipeline(
            images,
            annotations,
            tuple(options["size"]),
            options["batch_size"],
            args.rounds,
            peers,
            tell=tell,
        )
    Console().print(_table(row))
    if args.json:
        write_json(args.json, [row])
    return 0


def _table(row: dict):
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    short, long = row["size"]
    title = f"{row['images']} images at {short} x {long}, batches of {row['batch_size']}"
    table = Table(title=title, box=SIMPLE_HEAD, title_justify="left")
    table.add_column("reading, resizing, masks")
    table.add_column("images/s", justify="right")
    table.add_column("objects", justify="right")
    for name, side in (("ours", "ours"), ("torchvision", "peer")):
        if row[side + "_objects"] is not None:
            speed = f"{row[side + '_images_per_second']:.1f}"
            table.add_row(name, speed, str(row[side + "_objects"]))
    if row["ratio"] is not None:
        table.add_row("ours / torchvision", f"{row['ratio']:.2f}")
    return table
