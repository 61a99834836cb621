"""`mrcnn-tf verify`: an exported model beside the model it was made from."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from pathlib import Path

EXAMPLES = """
examples:
  mrcnn-tf verify nuclei/1 --against runs/first/best.keras
  mrcnn-tf verify nuclei.onnx --against runs/first/best.keras --images photos --limit 50
  mrcnn-tf verify nuclei/1 --against runs/first/best.keras --runtime openvino --json rows.json
  mrcnn-tf verify nuclei.tflite --against runs/first/best.keras --images nuclei/images \\
      --annotations nuclei/annotations/val.json

The exported model runs in every program here that opens it, the Keras model in TensorFlow on the
same pixels. boxes, scores and joints are the largest differences of detections that belong
together, mask IoU is the smallest; ms is the median time of an image within the runtime. The exit
code is 0 if all is within the tolerances, and 1 if not.

With --annotations, AP is measured as well: of the exported model, and of the Keras model as
`mrcnn-tf evaluate` measures it.
"""

_TOLERANCES = {
    "boxes": "largest difference of a box's sides, in pixels",
    "scores": "largest difference of a score",
    "mask_iou": "lowest IoU of two masks",
    "joints": "largest difference of a joint, in pixels",
    "ap": "largest difference of an AP, 0 to 1",
}


def add_parser(subparsers: argparse._SubParsersAction) -> argparse.ArgumentParser:
    parser = subparsers.add_parser(
        "verify",
        help="compare an exported model with the model it was made from",
        description="Compare the detections of an exported model with those of the Keras model.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("out", metavar="OUT", help="what export has written")
    parser.add_argument(
        "--against", required=True, metavar="MODEL", help="the .keras file, or a preset"
    )
    parser.add_argument(
        "--images", metavar="DIR", help="folder of images (default: generated scenes)"
    )
    parser.add_argument(
        "--annotations", metavar="FILE", help="COCO annotations of DIR: also measure the AP"
    )
    parser.add_argument(
        "--keypoint-sigmas",
        metavar="S,S,...",
        help="see mrcnn-tf evaluate; for other joints than COCO's",
    )
    parser.add_argument(
        "--runtime", metavar="NAME", help="run it in this program alone (default: in all there are)"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="the first N images (default: 20)")
    parser.add_argument("--json", metavar="FILE", help="also write the rows to a JSON file")
    group = parser.add_argument_group("tolerances")
    for name, text in _TOLERANCES.items():
        group.add_argument(
            f"--tolerance-{name.replace('_', '-')}", type=float, metavar="X", help=text
        )
    parser.set_defaults(run=run)
    return parser


def run(args: argparse.Namespace) -> int:
    from rich.console import Console

    limit = 20 if args.limit is None else args.limit
    if limit < 1:
        raise ValueError(f"--limit must be positive, got {limit}")
    if args.annotations and not args.images:
        raise ValueError("--annotations needs --images, the folder of the images")
    console = Console(stderr=True)
    with console.status("Loading TensorFlow"):
        from mrcnn_tf.export.portable import check_portable, read_model
        from mrcnn_tf.export.runtimes.kinds import runtimes_of
        from mrcnn_tf.export.verify import Tolerances

        entries = runtimes_of(args.out, args.runtime)
        given = {name: getattr(args, f"tolerance_{name}") for name in _TOLERANCES}
        tolerances = Tolerances(**{k: v for k, v in given.items() if v is not None})
        dataset = _dataset(args, limit)
        _images(args, dataset, limit)  # a mistyped folder is reported before the model is read
        model = read_model(args.against)
        check_portable(model)
    rows = []
    for name, entry in entries.items():
        try:
            runtime = entry.open(args.out)
        except (ImportError, OSError, RuntimeError) as error:
            if args.runtime or len(entries) == 1:
                raise ValueError(str(error)) from error
            console.print(f"{name} is left out. {error}", soft_wrap=True, markup=False)
            continue
        with runtime:
            rows.append({"runtime": name, **_verify(args, name, runtime, model, dataset, limit)})
    if rows and dataset is not None:
        from mrcnn_tf.models import Predictor

        own = _ap(Predictor(model, score_threshold=0.0), dataset, args.keypoint_sigmas)
        rows = [{**row, "model_ap": own} for row in rows]
    return _report(args, rows, tolerances)


def _verify(args, name, runtime, model, dataset, limit) -> dict:
    from rich.console import Console
    from rich.progress import track

    from mrcnn_tf.export.canvas import CanvasPredictor, on_canvas
    from mrcnn_tf.export.verify import check_same_model, compare, reference, summarize

    check_same_model(model, runtime, args.out)
    keras_model = reference(model, runtime.size)
    rows, times = [], []
    images, total = _images(args, dataset, limit)
    console = Console(stderr=True)
    for label, image in track(images, f"{name}: {total} images", total, console=console):
        canvas, sizes = on_canvas(image, runtime.size)
        expected, found = keras_model(canvas, sizes), runtime(canvas, sizes)
        if {k: v.shape for k, v in expected.items()} != {k: v.shape for k, v in found.items()}:
            raise ValueError(
                f"{args.out} is not an export of this model: it gives "
                f"{', '.join(f'{k} {list(v.shape)}' for k, v in sorted(found.items()))}, the model "
                f"{', '.join(f'{k} {list(v.shape)}' for k, v in sorted(expected.items()))}."
            )
        height, width = (int(side) for side in sizes[0])
        row = compare(expected, found, (height, width), model.whole_pixel_masks)
        rows.append({"image": label, **row})
        times.append(1e3 * runtime.seconds)
    figures = summarize(rows, times)
    if args.annotations:
        predictor = CanvasPredictor(runtime, model, runtime.size)
        figures["ap"] = _ap(predictor, dataset, args.keypoint_sigmas)
    return {**figures, "size": list(runtime.size), "per_image": rows}


def _ap(predictor, dataset, sigmas: str | None) -> dict[str, float]:
    from mrcnn_tf.evaluation.evaluate import evaluate_dataset

    sigmas = None if sigmas is None else [float(number) for number in sigmas.split(",")]
    figures = evaluate_dataset(predictor, dataset, batch_size=1, keypoint_sigmas=sigmas).figures
    return {
        f"{k}_ap": figures[f"{k}_ap"] for k in ("box", "mask", "keypoint") if f"{k}_ap" in figures
    }


def _dataset(args, limit: int):
    if not args.annotations:
        return None
    from mrcnn_tf.data import CocoDataset

    return CocoDataset(args.images, args.annotations, image_ids=limit)


def _images(args, dataset, limit: int) -> tuple[Iterator, int]:
    """Names and pixels of the images, and how many there are."""
    from mrcnn_tf.models.predictor import read_upright_image

    if dataset is not None:
        from mrcnn_tf.data.image_files import read_image

        paths = [Path(dataset.path(image_id)) for image_id in dataset.image_ids]
        return ((path.name, read_image(path)) for path in paths), len(paths)
    if args.images:
        from mrcnn_tf.cli.predict import image_files

        if not Path(args.images).is_dir():
            raise FileNotFoundError(f"There is no folder {args.images}.")
        paths = image_files([args.images])[:limit]
        return ((path.name, read_upright_image(path)) for path in paths), len(paths)
    from mrcnn_tf.data.shapes import make_scene

    scenes = ((f"scene {i}", make_scene(0, i).image) for i in itertools.count())
    return itertools.islice(scenes, limit), limit


def _report(args, rows: list[dict], tolerances) -> int:
    from rich.console import Console

    from mrcnn_tf.data.write_json import write_json
    from mrcnn_tf.export.verify import faults

    if not rows:
        raise ValueError(f"nothing that runs {args.out} is installed")
    for row in rows:
        row["faults"] = faults(row, tolerances)
        row["agrees"] = not row["faults"]
    console = Console()
    console = Console(width=None if console.is_terminal else 140)
    console.print(_table(args, rows))
    for row in rows:
        verdict = "agrees with" if row["agrees"] else "DIFFERS from"
        why = "" if row["agrees"] else ": " + "; ".join(row["faults"])
        console.print(
            f"{args.out} in {row['runtime']} {verdict} {args.against}{why}",
            soft_wrap=True,
            highlight=False,
            markup=False,
        )
        if row["expected"] == 0:
            console.print(
                "The model finds nothing in these images, which shows little: give others with "
                "--images.",
                soft_wrap=True,
            )
    if args.json:
        write_json(args.json, rows)
    return 0 if all(row["agrees"] for row in rows) else 1


def _table(args, rows: list[dict]):
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    height, width = rows[0]["size"]
    title = f"{args.out}, {rows[0]['images']} images on {height} x {width}"
    table = Table(title=title, box=SIMPLE_HEAD, title_justify="left")
    table.add_column("runtime", no_wrap=True)
    columns = ["expected", "found", "boxes px", "scores"]
    has = {name: rows[0][name] is not None for name in ("mask_iou", "joints_px")}
    columns += ["mask IoU"] * has["mask_iou"] + ["joints px"] * has["joints_px"] + ["ms"]
    aps = list(rows[0].get("ap", ()))
    columns += [name.replace("_", " ").replace(" ap", " AP") for name in aps]
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        cells = [str(row["expected"]), str(row["found"])]
        cells += [f"{row['boxes_px']:.2g}", f"{row['scores']:.1g}"]
        cells += [f"{row['mask_iou']:.4f}"] if has["mask_iou"] else []
        cells += [f"{row['joints_px']:.2g}"] if has["joints_px"] else []
        cells += [f"{row['ms']:.1f}", *(f"{row['ap'][name]:.4f}" for name in aps)]
        table.add_row(row["runtime"], *cells)
    if aps:
        blank = [""] * (len(columns) - len(aps))
        table.add_row("Keras", *blank, *(f"{rows[0]['model_ap'][name]:.4f}" for name in aps))
    return table
