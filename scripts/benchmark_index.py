"""Times the opening of a generated annotation file of COCO's size, and measures its memory.

    .venv/bin/python scripts/benchmark_index.py [--folder FOLDER] [--json FILE]

118,287 images, 860,001 objects, 10,000 crowds: 0.7 GB of files, kept in FOLDER if one is given.
Takes two minutes on two cores. pycocotools, which reads all into memory, needs 4 GB for it.
"""

import argparse
import contextlib
import subprocess
import sys
import tempfile

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from mrcnn_tf.benchmark import coco_sized
from mrcnn_tf.benchmark.opening import measure_opening
from mrcnn_tf.data.write_json import write_json

# in a process of its own: what it needs would count as the memory of those that are measured
WRITE = (
    "import sys; from mrcnn_tf.benchmark.coco_sized import write_coco_sized; "
    "print(*write_coco_sized(sys.argv[1], *map(int, sys.argv[2:])), sep='\\n')"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", help="where the files are written and kept")
    parser.add_argument("--images", type=int, default=coco_sized.NUM_IMAGES, metavar="N")
    parser.add_argument("--objects", type=int, default=coco_sized.NUM_OBJECTS, metavar="N")
    parser.add_argument("--crowds", type=int, default=coco_sized.NUM_CROWDS, metavar="N")
    parser.add_argument("--json", metavar="FILE", help="also write the rows to a JSON file")
    args = parser.parse_args()
    errors = Console(stderr=True)
    with contextlib.ExitStack() as stack:
        folder = args.folder or stack.enter_context(tempfile.TemporaryDirectory())
        errors.print("writing the files")
        counts = [str(count) for count in (args.images, args.objects, args.crowds)]
        written = subprocess.run(
            [sys.executable, "-c", WRITE, folder, *counts],
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        )
        rows = list(measure_opening(*written.stdout.splitlines(), tell=errors.print))
    table = Table(title=f"{args.images:,} images, {args.objects:,} objects", box=SIMPLE_HEAD)
    table.add_column("step")
    for column in ("seconds", "peak MiB"):
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(row["step"], f"{row['seconds']:.1f}", f"{row['peak_mib']:.0f}")
    Console().print(table)
    if args.json:
        write_json(args.json, rows)


if __name__ == "__main__":
    main()
