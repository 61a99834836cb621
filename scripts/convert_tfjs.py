"""Write a model as a graph model for TensorFlow.js: the same as `mrcnn-tf export --format tfjs`.

examples:
  python scripts/convert_tfjs.py runs/first/best.keras nuclei-tfjs
  python scripts/convert_tfjs.py runs/first/best.keras nuclei-tfjs --size 480 640
  python scripts/convert_tfjs.py nuclei/1 nuclei-tfjs --overwrite
"""

import sys

from mrcnn_tf.cli.export import run_script

if __name__ == "__main__":
    sys.exit(run_script(__doc__, "tfjs"))
