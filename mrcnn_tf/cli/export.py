"""`mrcnn-tf export`: write a model for other programs."""

import argparse
import sys
from pathlib import Path

from mrcnn_tf.cli.main import main

EXAMPLES = """
examples:
  mrcnn-tf export runs/first/best.keras nuclei/1
  mrcnn-tf export runs/first/best.keras nuclei/1 --overwrite --size 480 640
  mrcnn-tf export runs/first/best.keras nuclei/2 --masks rle --warmup a.jpg b.jpg
  mrcnn-tf export runs/first/best.keras nuclei.tflite --format litert --size 480 640
  mrcnn-tf export runs/first/best.keras nuclei.onnx --format onnx --size 480 640
  mrcnn-tf export runs/first/best.keras small.tflite --format litert --precision int8 \\
      --calibration coco/val
  mrcnn-tf export runs/first/best.keras site --format web --title Nuclei --samples val/*.png
  mrcnn-tf export runs/first/best.keras nuclei-tfjs --format tfjs --size 480 640

OUT is loaded by TensorFlow alone:

  served = tf.saved_model.load("nuclei/1")
  served.serve_images(images)["boxes"]    images of any size, [B, H, W, 3] uint8

Class names and category ids are in OUT/assets/labels.json.

formats:
  saved_model   of core TensorFlow ops, for TF Serving and programs that have TensorFlow; OUT is
                <name>/<integer> for TF Serving
  onnx          an .onnx file for onnxruntime and others, for any number of images at a time;
                needs pip install 'mrcnn-tf[onnx]'
  web           a folder with a page that finds objects in pictures and in what the camera sees,
                in the browser; any server of files serves it. Needs npm once
  litert        a .tflite file of LiteRT's built-in operators, for phones, small computers and the
                browser; one image at a time, of --size at most
  tfjs          a folder for TensorFlow.js, in browsers and Node.js; likewise. The first export
                installs the converter, 3 GB, into ~/.cache/mrcnn-tf
"""

# Options by the name of the argument that they are; a format has those that its function takes.
_OPTIONS = {
    "size": {
        "nargs": 2,
        "type": int,
        "metavar": ("H", "W"),
        "help": "height and width of the canvas that images lie on, in formats of fixed shapes and "
        "in the signature 'portable'; default: the model's image_size",
    },
    "title": {"help": "of a web page; default: the name of the folder"},
    "samples": {
        "nargs": "+",
        "metavar": "IMAGE",
        "help": "pictures that a web page offers as examples",
    },
    "fallback": {
        "action": "store_true",
        "help": "add the model for TF.js to a web page, for browsers that cannot run LiteRT.js; "
        "installs the converter, as format tfjs does",
    },
    "masks": {
        "choices": ("boxes", "image", "rle"),
        "help": "of a SavedModel: 28 x 28 probabilities in the box, pasted to the size of the "
        "image, or COCO's run lengths; default: boxes",
    },
    "batch": {
        "type": int,
        "metavar": "N",
        "help": "of ONNX: images at a time; default: any number",
    },
    "opset": {
        "type": int,
        "metavar": "N",
        "help": "of ONNX: version of its operators, 13 to 18; default: 18",
    },
    "shard_bytes": {
        "type": int,
        "metavar": "N",
        "help": "of TensorFlow.js: largest size of a file of weights; default: 4194304",
    },
    "weights_dtype": {
        "choices": ("float32", "bfloat16"),
        "help": "how a SavedModel stores kernels; bfloat16 halves it; default: float32",
    },
    "custom_ops": {
        "action": "store_true",
        "help": "this package's compiled ops: in a SavedModel for a server that links them, in a "
        ".tflite file for its delegate",
    },
    "precision": {
        "choices": ("float32", "float16", "dynamic_int8", "int8"),
        "help": "of the convolutions in a .tflite file; all but float32 need pip install "
        "'mrcnn-tf[litert]'; default: float32",
    },
    "calibration": {
        "nargs": "+",
        "metavar": "IMAGE",
        "help": "of --precision int8: image files or folders of them, as the model will see them",
    },
    "warmup": {
        "nargs": "*",
        "metavar": "IMAGE",
        "help": "add warm-up requests for TF Serving, of these images, or of grey ones if none is "
        "named; needs pip install 'mrcnn-tf[serving]'",
    },
}


def add_parser(subparsers: argparse._SubParsersAction) -> argparse.ArgumentParser:
    parser = subparsers.add_parser(
        "export",
        help="write a model for other programs",
        description="Write a model for other programs: as a SavedModel of core TensorFlow ops, for "
        "TF Serving and for any program that has TensorFlow, or in another format.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_export_arguments(parser)
    parser.set_defaults(run=run)
    return parser


def add_export_arguments(parser: argparse.ArgumentParser, format: str | None = None) -> None:
    """What every command that exports takes; `format` if it writes that one alone."""
    parser.add_argument(
        "model", metavar="MODEL", help="a .keras file, a preset, or a SavedModel written by export"
    )
    parser.add_argument("out", metavar="OUT", help="folder or file to write")
    if format is None:
        parser.add_argument(
            "--format",
            default="saved_model",
            metavar="NAME",
            help="see below; default: saved_model",
        )
    else:
        parser.set_defaults(format=format)
    parser.add_argument(
        "--overwrite", action="store_true", help="replace an export that stands at OUT"
    )
    for name, settings in _OPTIONS.items():
        parser.add_argument(
            f"--{name.replace('_', '-')}", dest=name, default=argparse.SUPPRESS, **settings
        )


def run(args: argparse.Namespace) -> int:
    from rich.console import Console

    # The spinner is for people; what is written stays in standard output.
    with Console(stderr=True).status("Loading TensorFlow") as status:
        from mrcnn_tf.export import check_format, check_target

        entry = check_format(args.format)
        options = _options(args)
        check_target(args.out, args.overwrite, entry.marker)
        save = entry.load()
        status.update(f"Writing {args.out}")
        description = save(args.model, args.out, overwrite=args.overwrite, **options)
    print(description)
    if entry.marker == "saved_model.pb" and not Path(args.out).absolute().name.isdecimal():
        print(
            "TF Serving looks for numbered versions: to serve it, write to "
            f"{Path(args.out) / '1'} instead."
        )
    return 0


def _options(args: argparse.Namespace) -> dict:
    """The arguments that were given, all of which the format must have."""
    from mrcnn_tf.export import format_arguments

    known = format_arguments(args.format)
    given = {name: getattr(args, name) for name in _OPTIONS if hasattr(args, name)}
    for name in given:
        if name not in known:
            raise ValueError(
                f"--{name.replace('_', '-')} is no option of --format {args.format}, which has "
                + ", ".join(f"--{known_name.replace('_', '-')}" for known_name in known)
                + "."
            )
    return given


def run_script(text: str, format: str) -> int:
    """What a script does that writes one format: `mrcnn-tf export --format` with its own help.

    Args:
        text: a description, an empty line, and examples.
        format: a name in `mrcnn_tf.export.FORMATS`.

    Returns:
        The exit code.
    """
    description, examples = text.split("\n\n", 1)
    parser = argparse.ArgumentParser(
        description=description,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_export_arguments(parser, format=format)
    parser.parse_args()
    return main(["export", *sys.argv[1:], "--format", format])
