"""Times each step of the augmentation beside decoding and resizing.

    .venv/bin/python scripts/benchmark_augmentation.py photos --split train [--json FILE]

Takes a minute on two cores.
"""

import argparse

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from mrcnn_tf.benchmark.augmentation import time_augmentation
from mrcnn_tf.data import find_split
from mrcnn_tf.data.write_json import write_json


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="a COCO folder")
    parser.add_argument("--split", default="train", metavar="STEM", help="its annotation file")
    parser.add_argument("--size", type=int, nargs=2, default=(800, 1333), metavar="PIXELS")
    parser.add_argument("--images", type=int, default=32, metavar="N")
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    parser.add_argument("--json", metavar="FILE", help="also write the rows to a JSON file")
    args = parser.parse_args()
    files = find_split(args.data, args.split)
    with Console(stderr=True).status("") as status:
        rows = time_augmentation(*files, tuple(args.size), args.images, args.rounds, status.update)
    table = Table(title=f"{args.images} images at {args.size[0]} x {args.size[1]}", box=SIMPLE_HEAD)
    table.add_column("step")
    for column in ("ms an image", "ratio"):
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(row["case"], f"{row['milliseconds']:.1f}", f"{row['ratio']:.2f}")
    Console().print(table)
    if args.json:
        write_json(args.json, rows)


if __name__ == "__main__":
    main()
