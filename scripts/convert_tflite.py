"""Write a model as a .tflite file for LiteRT: the same as `mrcnn-tf export --format litert`.

examples:
  python scripts/convert_tflite.py runs/first/best.keras nuclei.tflite
  python scripts/convert_tflite.py runs/first/best.keras nuclei.tflite --size 480 640
  python scripts/convert_tflite.py nuclei/1 nuclei.tflite --overwrite
  python scripts/convert_tflite.py nuclei/1 half.tflite --precision float16
  python scripts/convert_tflite.py nuclei/1 small.tflite --precision int8 --calibration coco/val
"""

import sys

from mrcnn_tf.cli.export import run_script

if __name__ == "__main__":
    sys.exit(run_script(__doc__, "litert"))
