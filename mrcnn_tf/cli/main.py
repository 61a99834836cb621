"""The `mrcnn-tf` command."""

import argparse
import importlib
import os
import sys
import traceback
from collections.abc import Sequence

from mrcnn_tf import __version__

# A verb's module has `add_parser(subparsers)` and `run(args) -> exit code`. It is imported when the
# verb is used, and imports TensorFlow in `run` only, so that help is there at once.
VERBS = {
    "data": ("mrcnn_tf.cli.data", "prepare data: sharded records, a preview of the augmentation"),
    "train": ("mrcnn_tf.cli.train", "train on a COCO folder"),
    "evaluate": ("mrcnn_tf.cli.evaluate", "measure the COCO AP of a model"),
    "predict": ("mrcnn_tf.cli.predict", "find the objects in images"),
    "import-weights": (
        "mrcnn_tf.cli.import_weights",
        "make a model from torchvision's or Detectron2's weights",
    ),
    "export": ("mrcnn_tf.cli.export", "write a SavedModel for serving"),
    "verify": ("mrcnn_tf.cli.verify", "compare an exported model with the model it was made from"),
    "benchmark": ("mrcnn_tf.cli.benchmark", "time ops, models and data beside other libraries'"),
    "info": ("mrcnn_tf.cli.info", "show versions, compiled ops, devices and recipes"),
}

EXAMPLES = """
examples:
  mrcnn-tf train coco --train instances_train2017 --val instances_val2017 --out runs/coco
  mrcnn-tf evaluate runs/coco/best.keras coco --split instances_val2017
  mrcnn-tf predict runs/coco/best.keras photo.jpg --out found

"mrcnn-tf VERB --help" tells more about a verb. The exit code is 0, 2 for input that cannot be used,
or 1 for anything else that failed.
"""

# What the package raises for input that cannot be used, with a message that is meant to be read.
_INPUT_ERRORS = (ValueError, OSError, ModuleNotFoundError)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command.

    Args:
        argv: the arguments without the program's name. Default: those of the process.

    Returns:
        The exit code.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    args = _parser(argv).parse_args(argv)
    if "tensorflow" not in sys.modules:
        _prepare_tensorflow()
    try:
        return args.run(args) or 0
    except KeyboardInterrupt:
        print("mrcnn-tf: interrupted", file=sys.stderr)
        return 130
    except (*_INPUT_ERRORS, FloatingPointError) as error:
        if args.debug:
            traceback.print_exc()
        else:
            print_error(error)
        return 2 if isinstance(error, _INPUT_ERRORS) else 1


def _prepare_tensorflow() -> None:
    """Sets what TensorFlow reads when it is imported, where the user has not set it."""
    # Start-up messages would bury the output; errors stay.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # TensorFlow turns oneDNN's kernels on by itself on some CPUs only; with AVX2 alone training
    # takes a fifth less time by them too.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


def print_error(error: Exception) -> None:
    """Tells on standard error, in one line, what went wrong."""
    message = " ".join(str(error).split()) or type(error).__name__
    print(f"mrcnn-tf: error: {message}", file=sys.stderr)


class _VerbParser(argparse.ArgumentParser):
    """Takes positional arguments in front of options and behind them.

    By default argparse gives a list of positional arguments that may be empty what stands with the
    first positional argument, and refuses the rest. A verb with verbs of its own leaves it to them.
    """

    _is_intermixing = False

    def parse_known_args(self, args=None, namespace=None):
        if self._is_intermixing or self._subparsers is not None:
            return super().parse_known_args(args, namespace)
        self._is_intermixing = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._is_intermixing = False


def _parser(argv: list[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mrcnn-tf",
        description="Mask R-CNN for Keras 3 on TensorFlow: train, evaluate, predict, export.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"mrcnn-tf {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    subparsers = parser.add_subparsers(
        dest="verb", metavar="VERB", required=True, parser_class=_VerbParser
    )
    used = next((argument for argument in argv if not argument.startswith("-")), None)
    for verb, (module, summary) in VERBS.items():
        if verb != used:
            subparsers.add_parser(verb, help=summary)
            continue
        verb_parser = importlib.import_module(module).add_parser(subparsers)
        add_debug(verb_parser)
    return parser


def add_debug(parser: argparse.ArgumentParser) -> None:
    """Accepts --debug after the verb as well."""
    parser.add_argument(
        "--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS
    )


if __name__ == "__main__":
    sys.exit(main())
