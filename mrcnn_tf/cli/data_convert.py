"""`mrcnn-tf data convert`: a split of a COCO folder as sharded TFRecords."""

import argparse
import os

DESCRIPTION = (
    "Write the images and annotations of one split of a COCO folder as sharded TFRecords.\n"
    "mrcnn-tf train takes the folder in place of the COCO folder, with the same results."
)

EXAMPLES = """
examples:
  mrcnn-tf data convert photos records --split train
  mrcnn-tf data convert coco coco_records --split instances_train2017 --keypoints
  mrcnn-tf train coco_records --train instances_train2017 --out runs/coco

What was interrupted goes on when the same command is given again. OUT/manifest.json, the last file
that is written, has the classes, counts, and hashes of all files.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", help="folder with annotations/STEM.json and the images")
    parser.add_argument("out", metavar="OUT", help="folder of the records, for this split alone")
    parser.add_argument("--split", required=True, metavar="STEM", help="split to convert")
    parser.add_argument(
        "--shards", type=int, metavar="N", help="number of files (default: one for 1000 images)"
    )
    parser.add_argument(
        "--keypoints",
        action="store_true",
        help="with joints, of person_keypoints_X.json for instances_X.json",
    )
    parser.add_argument(
        "--skip-faulty",
        action="store_true",
        help="leave out and count images and annotations that are faulty, instead of stopping",
    )
    parser.add_argument(
        "--workers", type=int, metavar="N", help="processes (default: one for every core)"
    )


def run(args: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    from mrcnn_tf.data import CocoDataset, open_split, write_records

    console = Console(stderr=True)
    with console.status(f"Reading the annotations of {args.data}"):
        dataset = open_split(
            args.data,
            args.split,
            keypoints=args.keypoints,
            on_error="skip" if args.skip_faulty else "raise",
        )
    if not isinstance(dataset, CocoDataset):
        raise ValueError(f"{args.data} holds records already; give the COCO folder")
    columns = ("images", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("images", total=len(dataset))
        manifest = write_records(
            dataset,
            args.out,
            split=args.split.removesuffix(".json"),
            shards=args.shards,
            keypoints=args.keypoints,
            workers=args.workers or os.cpu_count() or 1,
            on_progress=lambda images: progress.advance(bar, images),
        )
    size = sum(shard["bytes"] for shard in manifest["shards"]) / 1e9
    print(
        f"{manifest['images']} images and {manifest['objects']} objects are in "
        f"{len(manifest['shards'])} shards ({size:.2f} GB) in {args.out}"
    )
    for reason, count in manifest["skipped"].items():
        print(f"left out: {reason}: {count}")
    return 0
