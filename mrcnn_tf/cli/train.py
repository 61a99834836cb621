"""`mrcnn-tf train`: learn from a COCO folder."""

import argparse

from mrcnn_tf.cli.settings import read_settings

EXAMPLES = """
examples:
  mrcnn-tf train photos --train train --val val --out runs/first
  mrcnn-tf train photos --train train --val val --out runs/wide "image_size=(640,1024)"
  mrcnn-tf train coco --train instances_train2017 --val instances_val2017 --out poses keypoints=17
  mrcnn-tf train photos --train train --val val --out runs/first --resume
  mrcnn-tf train photos --train train --val val --out runs/again preset=runs/first/best.keras
  mrcnn-tf train records --train train --val val --val-data photos --out runs/records
  mrcnn-tf train photos --train train --val val --out runs/few --recipe few_shot steps=500
  mrcnn-tf train --list-recipes

A setting is key=value, where key is a field of the recipe (mrcnn_tf.training.Recipe) or an argument
of the model (mrcnn_tf.MaskRCNN); it goes before the recipe file's. DIR then holds model.keras (the
last state), best.keras (the highest AP on --val), log.csv, settings.json, and recipe.yaml, which
--recipe reads.
"""


def add_parser(subparsers: argparse._SubParsersAction) -> argparse.ArgumentParser:
    parser = subparsers.add_parser(
        "train",
        help="train on a COCO folder",
        description="Train a model on one split of a COCO folder and measure AP on another.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "data", nargs="?", help="folder with annotations/STEM.json and the images, or of records"
    )
    parser.add_argument("--train", metavar="STEM", help="split to learn from")
    parser.add_argument("--val", metavar="STEM", help="split to evaluate on after every epoch")
    parser.add_argument(
        "--val-data", metavar="FOLDER", help="COCO folder of --val, if it is not the first one"
    )
    parser.add_argument("--out", metavar="DIR", help="folder for the results")
    parser.add_argument(
        "--resume", action="store_true", help="go on with the interrupted run in DIR"
    )
    parser.add_argument(
        "--recipe", metavar="NAME", help="a recipe of --list-recipes, or a .yaml file"
    )
    parser.add_argument("--list-recipes", action="store_true", help="list the recipes and stop")
    parser.add_argument("settings", nargs="*", metavar="key=value", help="settings, see below")
    parser.set_defaults(run=run)
    return parser


def run(args: argparse.Namespace) -> int:
    from mrcnn_tf.training import list_recipes, train

    if args.list_recipes:
        for shipped in list_recipes():
            print(f"{shipped.name:<16}{shipped.summary}\n{'':<16}{shipped.published}")
        return 0
    for name, value in (("DATA", args.data), ("--train", args.train), ("--out", args.out)):
        if not value:
            raise ValueError(f"mrcnn-tf train needs {name}; see mrcnn-tf train --help.")
    recipe, options = read_settings(args)
    _, history = train(
        args.data,
        args.train,
        args.val,
        args.out,
        recipe,
        options,
        resume=args.resume,
        val_data=args.val_data,
    )
    for name in ("val_box_ap", "val_mask_ap", "val_keypoint_ap"):
        if name in history:
            print(f"best {name}: {max(history[name]):.4f}")
    print(f"report.html, model.keras, best.keras, log.csv and recipe.yaml are in {args.out}")
    return 0
