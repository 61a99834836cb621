"""`mrcnn-tf benchmark inference`: its options, its run and what it prints."""

import argparse

from mrcnn_tf.cli.benchmark_rows import collect_rows

DEFAULTS = {
    "backbone": "resnet50",
    "size": [800, 1333],
    "batch_size": 1,
    "max_detections": 100,
}


def add_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("options of inference")
    height, width = DEFAULTS["size"]
    group.add_argument(
        "--size",
        type=int,
        nargs=2,
        metavar=("HEIGHT", "WIDTH"),
        help=f"of the images (default: {height} {width})",
    )
    group.add_argument("--backbone", metavar="NAME", help="a ResNet (default: resnet50)")
    group.add_argument("--batch-size", type=int, metavar="N", help="images in a call (default: 1)")
    group.add_argument(
        "--max-detections",
        type=int,
        metavar="N",
        help="detections of an image, each with a mask and joints (default: 100)",
    )


def run_inference(args: argparse.Namespace, peers) -> int:
    from mrcnn_tf.benchmark import time_inference

    options = {
        name: default if getattr(args, name) is None else getattr(args, name)
        for name, default in DEFAULTS.items()
    }
    options["size"] = tuple(options["size"])
    collect_rows(
        lambda tell: time_inference(**options, rounds=args.rounds, peers=peers, tell=tell),
        1 + (peers is not None),
        lambda rows: [_table(row) for row in rows],
        args.json,
    )
    return 0


def _table(row: dict):
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    height, width = row["size"]
    title = f"{row['backbone']}, {row['batch_size']} x {height} x {width}"
    table = Table(title=title, box=SIMPLE_HEAD, title_justify="left")
    if row["row"] == "torchvision":
        for column in ("boxes and masks", "ms", "images/s", "detections"):
            table.add_column(column, justify="left" if not table.columns else "right")
        for name, side in (("ours", "ours"), ("torchvision", "peer")):
            speed = f"{row[side + '_images_per_second']:.2f}"
            detections = str(row[side + "_detections"])
            table.add_row(name, f"{row[side + '_ms']:.1f}", speed, detections)
        table.add_row("torchvision / ours", f"{row['ratio']:.2f}")
        return table
    table.add_column("what a keypoint head adds")
    table.add_column("ms", justify="right")
    for name, key in (
        ("boxes and masks", "mask_ms"),
        ("boxes, masks and joints", "mask_keypoints_ms"),
        ("difference", "difference_ms"),
        ("the head's convolutions alone", "convolutions_ms"),
    ):
        table.add_row(name, f"{row[key]:.1f}")
    table.add_row("difference / convolutions", f"{row['ratio']:.3f}")
    same = "the same" if row["same_detections"] else "NOT THE SAME"
    table.add_row("boxes and masks with the head and without", same)
    return table
