"""Write a model as a .tflite file for LiteRT: the same as `mrcnn-tf export --format litert`.

examples:
  python scripts/convert_tflite.py runs/first/best.keras nuclei.tflite
  python scripts/convert_tflite.py runs/first/best.keras nuclei.tflite --size 480 640
  python scripts/convert_tflite.py nuclei/1 nuclei.tflite --overwrite
  python scripts/convert_tflite.py nuclei/1 half.tflite --precision float16
  python scripts/convert_tflite.py nuclei/1 small.tflite --precision int8 --calibration coco/val
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
    add_export_arguments(parser, format="litert")
    parser.parse_args()


if __name__ == "__main__":
    check_arguments()
    sys.exit(main(["export", *sys.argv[1:], "--format", "litert"]))
