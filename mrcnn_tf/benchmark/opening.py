"""How long a COCO annotation file takes to open, and how much memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

STEPS = {
    "index, first use": """
from mrcnn_tf.data import CocoDataset
CocoDataset(images, annotations)
""",
    "index of joints as well": """
from mrcnn_tf.data import CocoDataset
CocoDataset(images, annotations, keypoint_annotations=joints)
""",
    "first batch, afterwards": """
import mrcnn_tf
next(iter(mrcnn_tf.data.coco(images, annotations, batch_size=2, shuffle=True, flip=True)))
""",
    "first batch with joints": """
import mrcnn_tf
dataset = mrcnn_tf.data.CocoDataset(images, annotations, keypoint_annotations=joints)
next(iter(mrcnn_tf.data.coco(dataset, batch_size=2, shuffle=True, flip=True, keypoints=True)))
""",
    "TensorFlow alone": "import tensorflow",
    "pycocotools": """
from pycocotools.coco import COCO
COCO(annotations)
""",
}

_BEFORE = "import resource, sys\nimages, annotations, joints = sys.argv[1:]\n"
_AFTER = "\nprint(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"


def measure_opening(
    images: str | os.PathLike,
    annotations: str | os.PathLike,
    joints: str | os.PathLike,
    tell: Callable[[str], None] = lambda text: None,
) -> Iterator[dict]:
    """Opens a data set as often as there are `STEPS`, each time in a process of its own.

    The stored indexes beside the annotations are deleted before the first step. `resource` counts
    the calling process in as well, so that should be a small one. Linux only.

    Args:
        images: folder of the images.
        annotations: instances; a file of 32 MB or more, or nothing is stored.
        joints: the file with the joints of some of them.
        tell: is told what is about to be measured.

    Yields:
        A dict for each step: `step`, `seconds` with the start of Python, and `peak_mib`, the most
        memory that was resident.
    """
    for path in Path(annotations).parent.glob(".mrcnn_tf/*.index"):
        path.unlink()
    for step, program in STEPS.items():
        tell(step)
        arguments = [os.fspath(path) for path in (images, annotations, joints)]
        started = time.perf_counter()
        found = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", _BEFORE + program + _AFTER, *arguments],
            stdout=subprocess.PIPE,
            check=True,
            text=True,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )
        seconds = time.perf_counter() - started
        peak = json.loads(found.stdout.splitlines()[-1])
        yield {"step": step, "seconds": seconds, "peak_mib": peak / 1024}
