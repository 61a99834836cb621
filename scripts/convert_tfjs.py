"""Write a model as a graph model for TensorFlow.js: the same as `mrcnn-tf export --format tfjs`.

examples:
  python scripts/convert_tfjs.py runs/first/best.keras nuclei-tfjs
  python scripts/convert_tfjs.py runs/first/best.keras nuclei-tfjs --size 480 640
  python scripts/convert_tfjs.py nuclei/1 nuclei-tfjs --overwrite
"""

import argparse
import sys

from mrcnn_tf.cli.export import add_export_arguments
from mrcnn_tf.cli.main import main


def check_arguments() -> None:
    description, examples = __doc__.split("\n\n", 1)
    parser = argparse.ArgumentParser(
        description=description,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_export_arguments(parser, format="tfjs")
    parser.parse_args()


if __name__ == "__main__":
    check_arguments()
    sys.exit(main(["export", *sys.argv[1:], "--format", "tfjs"]))
