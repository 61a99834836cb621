"""`mrcnn-tf data verify`: what is damaged in a folder of records."""

import argparse

DESCRIPTION = "Recompute the hashes of all shards of a folder of records and name what is damaged."

EXAMPLES = """
examples:
  mrcnn-tf data verify coco_records

The exit code is 0 if all is whole, 1 if something is damaged.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", help="the folder of the records")


def run(args: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.progress import Progress

    from mrcnn_tf.data import verify_records
    from mrcnn_tf.data.records_format import read_manifest

    manifest = read_manifest(args.folder)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("images", total=manifest["images"])
        damage = verify_records(args.folder, lambda images: progress.advance(bar, images))
    for name, problem in damage.items():
        print(f"{name} {problem}")
    if damage:
        print(
            f"Delete {'it' if len(damage) == 1 else 'them'} in {args.folder} and give the "
            "`mrcnn-tf data convert` that made the records again: it writes what is not there."
        )
        return 1
    print(f"{args.folder} is whole: {len(manifest['shards'])} shards, {manifest['images']} images")
    return 0
