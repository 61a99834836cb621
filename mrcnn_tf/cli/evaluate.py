"""`mrcnn-tf evaluate`: the COCO AP of a model."""

import argparse

EXAMPLES = """
examples:
  mrcnn-tf evaluate runs/first/best.keras photos --split val
  mrcnn-tf evaluate runs/first/best.keras coco --split instances_val2017 --batch-size 8
  mrcnn-tf evaluate cells.keras nuclei --split val --max-detections 400 --json figures.json

DATA holds annotations/STEM.json and the images. AP is the mean over the IoU thresholds .50 to .95,
AP50 and AP75 that at one threshold, AR the recall. The table shows percent, the file fractions;
-1 in the file stands for a figure that nothing in the data can be measured on.
"""

# Names as `evaluate` returns them, without box_ and mask_.
_ROWS = {
    "ap": "AP",
    "ap50": "AP50",
    "ap75": "AP75",
    "ap_small": "AP small (below 32 x 32 px)",
    "ap_medium": "AP medium",
    "ap_large": "AP large (above 96 x 96 px)",
    "ar": "AR",
}


def add_parser(subparsers: argparse._SubParsersAction) -> argparse.ArgumentParser:
    parser = subparsers.add_parser(
        "evaluate",
        help="measure the COCO AP of a model",
        description="Measure the COCO AP of a model's boxes and masks.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", metavar="MODEL", help=".keras file of a saved model")
    parser.add_argument("data", metavar="DATA", help="folder with annotations/STEM.json and images")
    parser.add_argument("--split", required=True, metavar="STEM", help="split to evaluate on")
    parser.add_argument(
        "--max-detections",
        type=int,
        metavar="N",
        help="best detections that count in an image and class (default: 100)",
    )
    parser.add_argument(
        "--batch-size", type=int, default=4, metavar="N", help="images at a time (default: 4)"
    )
    parser.add_argument("--json", metavar="FILE", help="also write the figures to a JSON file")
    parser.set_defaults(run=run)
    return parser


def run(args: argparse.Namespace) -> int:
    from rich.console import Console

    from mrcnn_tf.data import find_split
    from mrcnn_tf.data.write_json import write_json

    # A mistyped folder is reported before the seconds that TensorFlow takes to start.
    images, annotations = find_split(args.data, args.split)

    from mrcnn_tf.evaluation import evaluate
    from mrcnn_tf.models import load

    model = load(args.model, compile=False)
    figures = evaluate(
        model,
        images,
        annotations,
        batch_size=args.batch_size,
        max_detections=args.max_detections,
    )
    Console().print(_table(figures, args.split))
    if args.json:
        write_json(args.json, figures)
    return 0


def _table(figures: dict[str, float], split: str):
    from rich.table import Table

    table = Table(
        title=f"{split}: {figures['images']} images, at most {figures['max_detections']} detections"
    )
    kinds = [kind for kind in ("box", "mask") if f"{kind}_ap" in figures]
    table.add_column("percent")
    for kind in kinds:
        table.add_column(kind, justify="right")
    for key, label in _ROWS.items():
        values = [figures[f"{kind}_{key}"] for kind in kinds]
        table.add_row(label, *("-" if value < 0 else f"{100 * value:.1f}" for value in values))
    return table
