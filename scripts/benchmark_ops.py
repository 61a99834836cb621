"""Times the compiled ops beside other libraries': `mrcnn-tf benchmark ops` from a checkout.

    .venv/bin/python scripts/benchmark_ops.py --help

scripts/setup_peers gets torchvision to compare with. All cases take some minutes on two cores.
"""

import sys

from mrcnn_tf.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["benchmark", "ops", *sys.argv[1:]]))
