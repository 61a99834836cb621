"""`mrcnn-tf import-weights`: a model out of another library's trained detector."""

import argparse
import contextlib
from pathlib import Path

EXAMPLES = """
examples:
  mrcnn-tf import-weights --list
  mrcnn-tf import-weights torchvision/maskrcnn_resnet50_fpn_coco coco.keras
  mrcnn-tf import-weights maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth coco.keras
  mrcnn-tf import-weights bolts.pth bolts.keras --class-names bolt,nut
  mrcnn-tf import-weights scratch.pth scratch.keras --norm-epsilon 1e-5
  mrcnn-tf import-weights model_final_f10217.pkl coco.keras
  mrcnn-tf import-weights mask_rcnn_coco.h5 coco.keras

SOURCE is the name of a published detector, whose file is downloaded once, into Keras's cache, and
checked by its hash. Or it is a file: a state dict of torchvision's maskrcnn_resnet50_fpn,
keypointrcnn_resnet50_fpn or fasterrcnn_resnet50_fpn, or of a _v2, as torch.save writes it, or a
.pkl of Detectron2's model zoo or a .pth of its trainings: Mask, Keypoint or Faster R-CNN with
ResNet-50 or 101 and FPN, or an .h5 of Matterport's Mask R-CNN. A file may have any number of
classes. It is read without the library that wrote it, and nothing in it is run.
OUT is for "mrcnn-tf predict", "evaluate", "export", and "train" with preset=OUT.
"""


def add_parser(subparsers: argparse._SubParsersAction) -> argparse.ArgumentParser:
    parser = subparsers.add_parser(
        "import-weights",
        help="make a model from torchvision's, Detectron2's or Matterport's weights",
        description="Write a trained detector of torchvision, Detectron2 or Matterport as a .keras "
        "model.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "source",
        metavar="SOURCE",
        nargs="?",
        help="name of a published detector, or a .pth, .pkl or .h5 file",
    )
    parser.add_argument("out", metavar="OUT", nargs="?", help="the .keras file to write")
    parser.add_argument("--list", action="store_true", help="show the published detectors")
    parser.add_argument(
        "--class-names",
        metavar="A,B",
        help="names of the classes, without background; COCO's are known",
    )
    parser.add_argument(
        "--norm-epsilon",
        type=float,
        metavar="E",
        help="default: 1e-3 for Matterport's models, 1e-5 for Detectron2's and torchvision's _v2, "
        "and 0 for torchvision's others, as for all that started from COCO_V1 weights; give 1e-5 "
        "for one of these that was trained from weights of a backbone",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace a file that stands at OUT"
    )
    parser.set_defaults(run=run)
    return parser


def run(args: argparse.Namespace) -> int:
    from rich.console import Console

    if args.list:
        if args.source:
            raise ValueError(f"--list stands alone; leave {args.source} out")
        Console().print(_table())
        return 0
    if not args.out:
        raise ValueError("give SOURCE, what to import, and OUT, the .keras file to write")
    out = Path(args.out)
    if out.suffix != ".keras":
        raise ValueError(f"OUT must end in .keras; got {args.out}")
    if out.exists() and not args.overwrite:
        raise ValueError(f"{out} already exists; give --overwrite to replace it")
    if not out.absolute().parent.is_dir():
        raise FileNotFoundError(
            f"there is no folder {out.absolute().parent} to write {out.name} to"
        )
    arguments = {}
    if args.class_names is not None:
        arguments["class_names"] = [name.strip() for name in args.class_names.split(",")]
    if args.norm_epsilon is not None:
        arguments["norm_epsilon"] = args.norm_epsilon

    console = Console(stderr=True)
    with console.status("Loading TensorFlow"):
        read = _reader(args.source)
    # Keras shows how far a download is, which a status line would hide.
    is_file = Path(args.source).is_file()
    with console.status(f"Reading {args.source}") if is_file else contextlib.nullcontext():
        model = read(args.source, **arguments)
    with console.status(f"Writing {args.out}"):
        model.save(out)
    heads = [name for name, there in (("Mask", model.mask), ("Keypoint", model.keypoints)) if there]
    kind = f"{' and '.join(heads) or 'Faster'} R-CNN"
    backbone = model.get_config()["backbone"]
    print(f"{out} is written: {kind} with {backbone} and {model.num_classes} classes.")
    return 0


def _reader(source: str):
    """What makes a model of a preset's name, or of a file: by its extension or tensors' names."""
    from mrcnn_tf import weights
    from mrcnn_tf.models import MaskRCNN

    if not Path(source).is_file():
        if source in _published():
            return MaskRCNN.from_preset
        raise FileNotFoundError(
            f"there is no file {source}, nor a published detector of that name: see "
            "mrcnn-tf import-weights --list"
        )
    if Path(source).suffix == ".pkl":
        return weights.model_from_detectron2
    if Path(source).suffix in (".h5", ".hdf5"):
        return weights.model_from_matterport
    names = weights.read_state_dict(source)
    if any(name.startswith("backbone.bottom_up.") for name in names):
        return weights.model_from_detectron2
    return weights.model_from_torchvision


def _published() -> dict:
    from mrcnn_tf.weights import PRESETS

    return {name: preset for name, preset in PRESETS.items() if preset.detector}


def _table():
    from rich import box
    from rich.table import Table

    published = _published()
    kinds = ("box", "mask", "keypoint")
    kinds = [k for k in kinds if any(k in p.detector.average_precision for p in published.values())]
    table = Table(
        title="Published detectors: megabytes, and AP in percent on COCO val2017",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=0,
    )
    table.add_column("name", no_wrap=True)
    for heading in ("MB", *kinds):
        table.add_column(heading, justify="right")
    table.add_column("licence")
    for name, preset in published.items():
        detector = preset.detector
        figures = (detector.average_precision.get(kind) for kind in kinds)
        table.add_row(
            name,
            str(detector.megabytes),
            *("" if figure is None else f"{figure:.1f}" for figure in figures),
            detector.licence,
        )
    return table
