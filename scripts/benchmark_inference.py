"""Times whole models beside torchvision's: `mrcnn-tf benchmark inference` from a checkout.

    .venv/bin/python scripts/benchmark_inference.py --help

scripts/setup_peers gets torchvision to compare with. It takes some minutes on two cores.
"""

import sys

from mrcnn_tf.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["benchmark", "inference", *sys.argv[1:]]))
