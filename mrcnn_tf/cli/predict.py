"""`mrcnn-tf predict`: the objects in image files."""

import argparse
import os
from collections.abc import Iterable
from pathlib import Path

EXAMPLES = """
examples:
  mrcnn-tf predict runs/first/best.keras photo.jpg --out found
  mrcnn-tf predict runs/first/best.keras photos/ more/*.png --out found --score-threshold 0.7

For photo.jpg, DIR gets photo_overlay.png (masks, boxes, labels, skeletons) and photo_instances.png
(16 bits: 0 is background, i the i-th instance by score). predictions.json holds the instances of
all images as COCO results with the model's category ids, and the file_name of each. image_id is the
number in the file's name if all names are different numbers, as COCO's are, or else counts from 1.
"""

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


def add_parser(subparsers: argparse._SubParsersAction) -> argparse.ArgumentParser:
    parser = subparsers.add_parser(
        "predict",
        help="find the objects in images",
        description="Find the objects in images, and write them as pictures and COCO results.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", metavar="MODEL", help=".keras file of a saved model")
    parser.add_argument(
        "images", metavar="IMAGE", nargs="+", help="image file, or a folder of image files"
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the results")
    parser.add_argument(
        "--score-threshold",
        type=float,
        default=0.5,
        metavar="S",
        help="leave out detections below this score (default: 0.5)",
    )
    parser.set_defaults(run=run)
    return parser


def run(args: argparse.Namespace) -> int:
    if not 0 <= args.score_threshold <= 1:
        raise ValueError(f"--score-threshold must be between 0 and 1, got {args.score_threshold}")
    paths = image_files(args.images)

    from rich.console import Console
    from rich.progress import track

    from mrcnn_tf.cli.main import print_error
    from mrcnn_tf.data.write_json import write_json
    from mrcnn_tf.models import Predictor, load

    predictor = Predictor(load(args.model, compile=False), args.score_threshold)
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)

    results, failed = [], 0
    jobs = list(zip(paths, image_ids(paths), output_names(paths), strict=True))
    for path, image_id, name in track(
        jobs, f"predicting {len(jobs)} images", console=Console(stderr=True)
    ):
        try:
            results += _predict(predictor, path, image_id, out / name)
        except (ValueError, FileNotFoundError) as error:
            print_error(error)
            failed += 1
    write_json(out / "predictions.json", results)
    done = len(jobs) - failed
    print(f"{len(results)} instances in {done} images: {out}")
    if failed:
        print(f"{failed} of {len(jobs)} images could not be used")
    return 1 if failed else 0


def image_files(arguments: Iterable[str]) -> list[Path]:
    """The files given, and those of the folders given, each once and in order.

    Raises:
        ValueError: a folder without any image file.
    """
    found: dict[Path, None] = {}
    for argument in map(Path, arguments):
        if not argument.is_dir():
            found[argument] = None
            continue
        inside = sorted(p for p in argument.iterdir() if p.suffix.lower() in SUFFIXES)
        if not inside:
            raise ValueError(f"folder {argument} holds no image file ({' '.join(SUFFIXES)})")
        found.update(dict.fromkeys(inside))
    return list(found)


def image_ids(paths: list[Path]) -> list[int]:
    """The numbers that the files are named by if that tells them apart, or else 1, 2, ..."""
    if all(path.stem.isdecimal() for path in paths):
        numbers = [int(path.stem) for path in paths]
        if len(set(numbers)) == len(numbers):
            return numbers
    return list(range(1, len(paths) + 1))


def output_names(paths: list[Path]) -> list[str]:
    """A name for the results of each file: its own, numbered where that is taken."""
    names: dict[str, None] = {}
    for path in paths:
        name, count = path.stem, 1
        while name in names:
            count += 1
            name = f"{path.stem}_{count}"
        names[name] = None
    return list(names)


def _predict(predictor, path: Path, image_id: int, out: Path) -> list[dict]:
    from PIL import Image

    from mrcnn_tf.evaluation import coco_results
    from mrcnn_tf.models.predictor import read_upright_image
    from mrcnn_tf.visualize import draw_instances, instance_map

    image = read_upright_image(path)
    prediction = predictor(image)[0]
    model = predictor.model
    overlay = draw_instances(
        image,
        prediction,
        model.class_names,
        skeleton=getattr(model, "keypoint_skeleton", None),
        keypoint_names=getattr(model, "keypoint_names", None),
    )
    _save(overlay, f"{out}_overlay.png")
    if "image_masks" in prediction:
        _save(Image.fromarray(instance_map(prediction)), f"{out}_instances.png")
    results = coco_results(
        prediction,
        image_id,
        model.category_ids,
        *image.shape[:2],
        whole_pixels=predictor.whole_pixel_masks,
    )
    return [{**result, "file_name": path.name} for result in results]


def _save(image, path: str) -> None:
    image.save(f"{path}.writing", format="PNG")
    os.replace(f"{path}.writing", path)
