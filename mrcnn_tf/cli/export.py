"""`mrcnn-tf export`: write a model for serving."""

import argparse
from pathlib import Path

EXAMPLES = """
examples:
  mrcnn-tf export runs/first/best.keras nuclei/1
  mrcnn-tf export runs/first/best.keras nuclei/1 --overwrite

OUT is loaded by TensorFlow alone:

  served = tf.saved_model.load("nuclei/1")
  served.serve_images(images)["boxes"]    images of any size, [B, H, W, 3] uint8

Class names and category ids are in OUT/assets/labels.json.
"""


def add_parser(subparsers: argparse._SubParsersAction) -> argparse.ArgumentParser:
    parser = subparsers.add_parser(
        "export",
        help="write a SavedModel for TF Serving",
        description="Write a model as a SavedModel of core TensorFlow ops, for TF Serving and for "
        "any program that has TensorFlow.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", metavar="MODEL", help="the .keras file")
    parser.add_argument(
        "out", metavar="OUT", help="folder to write; TF Serving wants <name>/<integer>"
    )
    parser.add_argument(
        "--format", default="saved_model", metavar="NAME", help="default: saved_model"
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace a SavedModel that stands at OUT"
    )
    parser.set_defaults(run=run)
    return parser


def run(args: argparse.Namespace) -> int:
    from rich.console import Console

    # The spinner is for people; what is written stays in standard output.
    with Console(stderr=True).status("Loading TensorFlow") as status:
        from mrcnn_tf.export import check_format, check_target, describe_saved_model
        from mrcnn_tf.models import load

        check_format(args.format)
        check_target(args.out, args.overwrite)
        status.update(f"Reading {args.model}")
        model = load(args.model, compile=False)
        status.update(f"Writing {args.out}")
        model.export(args.out, args.format, verbose=False, overwrite=args.overwrite)
        description = describe_saved_model(args.out)
    print(f"{args.out} is written. Signatures:\n{description}")
    if not Path(args.out).absolute().name.isdecimal():
        print(
            "TF Serving looks for numbered versions: to serve it, write to "
            f"{Path(args.out) / '1'} instead."
        )
    return 0
