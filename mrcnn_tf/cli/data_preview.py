"""`mrcnn-tf data preview`: a contact sheet of what a training is given."""

import argparse

from mrcnn_tf.cli.settings import read_settings

DESCRIPTION = (
    "Draw images as a training gets them, augmented, with the boxes, masks and joints to learn."
)

EXAMPLES = """
examples:
  mrcnn-tf data preview photos --split train
  mrcnn-tf data preview photos --split train --out mosaic.png rotation=10 copy_paste=0.5 mosaic=1
  mrcnn-tf data preview coco --split instances_train2017 --recipe coco_1x --images 20

A setting is key=value, as mrcnn-tf train takes them; those of the augmentation and image_size,
seed, max_objects, image_ids and pad_to make a difference here.
"""

COLUMNS, LONGEST_SIDE = 4, 480


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "data", help="folder with annotations/STEM.json and the images, or of records"
    )
    parser.add_argument("--split", required=True, metavar="STEM", help="split to draw")
    parser.add_argument("--out", default="preview.png", metavar="FILE", help="the picture to write")
    parser.add_argument("--images", type=int, default=12, metavar="N", help="how many (default 12)")
    parser.add_argument("--recipe", metavar="NAME", help="a shipped recipe, or a .yaml file")
    parser.add_argument("settings", nargs="*", metavar="key=value", help="settings, see below")


def run(args: argparse.Namespace) -> int:
    import os
    from pathlib import Path

    from PIL import Image
    from rich.console import Console

    from mrcnn_tf.visualize import contact_sheet

    out = Path(args.out)
    if args.images < 1:
        raise ValueError(f"--images must be at least 1, got {args.images}")
    if out.suffix.lower() not in Image.registered_extensions():
        raise ValueError(f"--out {out}: pictures are .png or .jpg files")
    recipe, options = read_settings(args)
    with Console(stderr=True).status(f"Drawing {args.images} images of {args.data}"):
        pictures, captions = _pictures(args, recipe, options)
        sheet = contact_sheet(pictures, captions, COLUMNS)
        temporary = out.with_name(f"{out.stem}.{os.getpid()}{out.suffix}")
        sheet.save(temporary)
        os.replace(temporary, out)
    print(f"{len(pictures)} images are in {out}")
    return 0


def _pictures(args: argparse.Namespace, recipe, options: dict) -> tuple[list, list[str]]:
    import inspect

    import tensorflow as tf

    from mrcnn_tf.data import coco, open_split
    from mrcnn_tf.data.faults import as_data_fault
    from mrcnn_tf.models import MaskRCNN
    from mrcnn_tf.visualize import draw_batch
    from mrcnn_tf.weights import preset_arguments

    defaults = inspect.signature(MaskRCNN).parameters["image_size"].default
    known = {"image_size": defaults, **preset_arguments(recipe.preset), **options}
    dataset = open_split(args.data, args.split, image_ids=recipe.image_ids, keypoints=True)
    joints = {}
    if dataset.keypoint_classes:
        joints["skeleton"] = dataset.keypoint_skeleton
        joints["keypoint_names"] = dataset.keypoint_names
    batches = coco(
        dataset,
        size=known["image_size"],
        shuffle=True,
        **recipe.augmentation,
        pad_to=recipe.pad_to,
        max_objects=recipe.max_objects,
        keypoints=bool(joints),
        seed=recipe.seed,
        repeat=True,
    )
    pictures, captions = [], []
    try:
        for x, y in batches.take(args.images):
            pictures += draw_batch(x, y, dataset.class_names, longest_side=LONGEST_SIDE, **joints)
            captions.append(f"image {int(y['image_id'][0])}")
    except tf.errors.InvalidArgumentError as error:
        raise (as_data_fault(error) or error) from None
    return pictures, captions
