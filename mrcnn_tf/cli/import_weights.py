"""`mrcnn-tf import-weights`: a model out of another library's trained detector."""

import argparse
from pathlib import Path

EXAMPLES = """
examples:
  mrcnn-tf import-weights maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth coco.keras
  mrcnn-tf import-weights bolts.pth bolts.keras --class-names bolt,nut
  mrcnn-tf import-weights scratch.pth scratch.keras --norm-epsilon 1e-5
  mrcnn-tf import-weights model_final_f10217.pkl coco.keras

SOURCE is a state dict of torchvision's maskrcnn_resnet50_fpn, fasterrcnn_resnet50_fpn or their _v2,
as torch.save writes it, or a .pkl of Detectron2's model zoo or a .pth of its trainings: Mask or
Faster R-CNN with ResNet-50 or 101 and FPN. It may have any number of classes. It is read without
PyTorch, and nothing in it is run.
OUT is for "mrcnn-tf predict", "evaluate", "export", and "train" with preset=OUT.
"""


def add_parser(subparsers: argparse._SubParsersAction) -> argparse.ArgumentParser:
    parser = subparsers.add_parser(
        "import-weights",
        help="make a model from torchvision's or Detectron2's weights",
        description="Write a trained detector of torchvision or Detectron2 as a .keras model.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", metavar="SOURCE", help="the .pth or .pkl file")
    parser.add_argument("out", metavar="OUT", help="the .keras file to write")
    parser.add_argument(
        "--class-names",
        metavar="A,B",
        help="names of the classes, without background; COCO's are known",
    )
    parser.add_argument(
        "--norm-epsilon",
        type=float,
        metavar="E",
        help="default: 1e-5 for Detectron2's models and torchvision's _v2, and 0 for torchvision's "
        "others, as for all that started from COCO_V1 weights; give 1e-5 for one of these that was "
        "trained from weights of a backbone",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace a file that stands at OUT"
    )
    parser.set_defaults(run=run)
    return parser


def run(args: argparse.Namespace) -> int:
    from rich.console import Console

    out = Path(args.out)
    if out.suffix != ".keras":
        raise ValueError(f"OUT must end in .keras; got {args.out}")
    if out.exists() and not args.overwrite:
        raise ValueError(f"{out} already exists; give --overwrite to replace it")
    if not out.absolute().parent.is_dir():
        raise FileNotFoundError(
            f"there is no folder {out.absolute().parent} to write {out.name} to"
        )
    if not Path(args.source).is_file():
        raise FileNotFoundError(f"there is no file {args.source}")
    arguments = {}
    if args.class_names is not None:
        arguments["class_names"] = [name.strip() for name in args.class_names.split(",")]
    if args.norm_epsilon is not None:
        arguments["norm_epsilon"] = args.norm_epsilon

    with Console(stderr=True).status("Loading TensorFlow") as status:
        status.update(f"Reading {args.source}")
        model = _reader(args.source)(args.source, **arguments)
        status.update(f"Writing {args.out}")
        model.save(out)
    kind = "Mask R-CNN" if model.mask else "Faster R-CNN"
    backbone = model.get_config()["backbone"]
    print(f"{out} is written: {kind} with {backbone} and {model.num_classes} classes.")
    return 0


def _reader(source: str):
    """What makes a model of the file: its tensors' names tell the libraries apart."""
    from mrcnn_tf import weights

    if Path(source).suffix == ".pkl":
        return weights.model_from_detectron2
    names = weights.read_state_dict(source)
    if any(name.startswith("backbone.bottom_up.") for name in names):
        return weights.model_from_detectron2
    return weights.model_from_torchvision
