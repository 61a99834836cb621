"""A run that is killed goes on to the bits of one that was not."""

import itertools
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mrcnn_tf.data import shapes

KILLS_OF_A_RUN, RUNS = 4, 5
STEPS_PER_EPOCH, STEPS = 8, 24
SETTINGS = [
    *("preset=maskrcnn_resnet50_fpn", "weights=none", "backbone=resnet18", "norm=batch_norm"),
    *("image_size=96", "backbone_channels=16", "fpn_channels=16", "box_fc=(32,)"),
    *("anchor_sizes=(8,16,32,64,128)", "rpn_pre_nms_top_n=(100,100)"),
    *("rpn_post_nms_top_n=(50,50)", "rois_per_image=32", "mask_channels=8", "mask_convs=1"),
    *("max_detections=10", "batch_size=2", "ema=0.9", "deterministic=true"),
    *(f"steps={STEPS}", f"steps_per_epoch={STEPS_PER_EPOCH}", "steps_per_checkpoint=3"),
]

pytestmark = pytest.mark.slow


def start(scenes: Path, out: Path, *words: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "mrcnn_tf.cli.main", "train", str(scenes), "--train", "train"]
    with open(out.with_suffix(".log"), "a") as log:
        return subprocess.Popen(
            [*command, "--val", "val", "--out", str(out), *SETTINGS, *words],
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )


def states(out: Path) -> set[str]:
    return {path.name for path in (out / "checkpoints").glob("step-*.npz")}


def in_step(out: Path, known: set[str], rng: random.Random) -> bool:
    """Somewhere after a state was written that was not there when the process began."""
    if not states(out) - known:
        return False
    time.sleep(rng.uniform(0, 1.5))
    return True


def in_write(out: Path, known: set[str], rng: random.Random) -> bool:
    return any((out / "checkpoints").glob("*.writing"))


def in_evaluation(out: Path, known: set[str], rng: random.Random) -> bool:
    """After the state of an epoch's end, which is written before its evaluation."""
    ends = {f"step-{step:09d}.npz" for step in range(STEPS_PER_EPOCH, STEPS + 1, STEPS_PER_EPOCH)}
    if not (states(out) - known) & ends:
        return False
    time.sleep(rng.uniform(0, 0.5))
    return True


def in_start(out: Path, known: set[str], rng: random.Random) -> bool:
    time.sleep(rng.uniform(1, 10))
    return True


def finish(process: subprocess.Popen, out: Path) -> None:
    assert process.wait(300) == 0, out.with_suffix(".log").read_text()[-2000:]


def test_killed_runs_end_with_the_same_bits(tmp_path):
    scenes, rng = tmp_path / "scenes", random.Random(0)
    shapes.generate(scenes, 12, stem="train", image_size=96, progress=False)
    shapes.generate(scenes, 4, stem="val", image_size=96, progress=False)
    undisturbed = [tmp_path / name for name in ("first", "second")]
    for out in undisturbed:
        finish(start(scenes, out), out)
    last = f"checkpoints/step-{STEPS:09d}.npz"
    wanted = {name: (undisturbed[0] / name).read_bytes() for name in (last, "log.csv")}
    assert wanted == {name: (undisturbed[1] / name).read_bytes() for name in wanted}

    moments = itertools.cycle([in_step, in_write, in_evaluation, in_step, in_start])
    hits = dict.fromkeys((in_step, in_write, in_evaluation, in_start), 0)
    for run in range(RUNS):
        out = tmp_path / f"killed{run}"
        for _ in range(KILLS_OF_A_RUN):
            moment, known = next(moments), states(out)
            process = start(scenes, out, "--resume")
            while process.poll() is None and not moment(out, known, rng):
                time.sleep(0.0005)
            process.send_signal(signal.SIGKILL)
            hits[moment] += process.wait() == -signal.SIGKILL
        finish(start(scenes, out, "--resume"), out)
        for name, content in wanted.items():
            assert (out / name).read_bytes() == content, (run, name)
        assert not list((out / "checkpoints").glob("*.writing"))
    assert sum(hits.values()) >= 15 and all(hits.values()), hits
