"""Times a model in each of its export formats: `mrcnn-tf benchmark runtimes` from a checkout.

.venv/bin/python scripts/benchmark_runtimes.py --help
"""

import sys

from mrcnn_tf.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["benchmark", "runtimes", *sys.argv[1:]]))
