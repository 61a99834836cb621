"""`mrcnn-tf evaluate`: the COCO AP of a model."""

import argparse

EXAMPLES = """
examples:
  mrcnn-tf evaluate runs/first/best.keras photos --split val
  mrcnn-tf evaluate runs/first/best.keras coco --split instances_val2017 --batch-size 8
  mrcnn-tf evaluate hands.keras hands --split val --keypoint-sigmas 0.05,0.05,0.08
  mrcnn-tf evaluate cells.keras nuclei --split val --max-detections 400 --json figures.json

DATA holds annotations/STEM.json and the images. AP is the mean over the IoU thresholds .50 to .95,
AP50 and AP75 that at one threshold, AR the recall. The table shows percent, the file fractions;
-1 in the file stands for a figure that nothing in the data can be measured on. Joints are measured
for a model that has some, on annotations that have some; those of COCO's instances_X.json are read
from the person_keypoints_X.json beside it.
"""

# Names as `evaluate` returns them, without box_, mask_ and keypoint_.
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
        description="Measure the COCO AP of a model's boxes, masks and joints.",
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
    parser.add_argument(
        "--keypoint-sigmas",
        type=_numbers,
        metavar="S,S,...",
        help="tolerance of each joint in parts of the root of the object's area (default: COCO's)",
    )
    parser.add_argument("--json", metavar="FILE", help="also write the figures to a JSON file")
    parser.set_defaults(run=run)
    return parser


def run(args: argparse.Namespace) -> int:
    from rich.console import Console

    from mrcnn_tf.data import find_keypoints, find_split
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
        keypoint_annotations=find_keypoints(annotations)
        if getattr(model, "keypoints", 0)
        else None,
        keypoint_sigmas=args.keypoint_sigmas,
    )
    Console().print(_table(figures, args.split))
    if args.json:
        write_json(args.json, figures)
    return 0


def _numbers(text: str) -> list[float]:
    return [float(number) for number in text.split(",")]


def _table(figures: dict[str, float], split: str):
    from rich.table import Table

    table = Table(
        title=f"{split}: {figures['images']} images, at most {figures['max_detections']} detections"
    )
    kinds = [kind for kind in ("box", "mask", "keypoint") if f"{kind}_ap" in figures]
    table.add_column("percent")
    for kind in kinds:
        table.add_column(kind, justify="right")
    for key, label in _ROWS.items():
        values = [figures.get(f"{kind}_{key}", -1) for kind in kinds]
        table.add_row(label, *("-" if value < 0 else f"{100 * value:.1f}" for value in values))
    return table
