"""Times reading of batches beside torchvision's: `mrcnn-tf benchmark pipeline` from a checkout.

    .venv/bin/python scripts/benchmark_pipeline.py --data photos --split train

scripts/setup_peers gets torchvision to compare with. It takes some minutes on two cores.
"""

import sys

from mrcnn_tf.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["benchmark", "pipeline", *sys.argv[1:]]))
