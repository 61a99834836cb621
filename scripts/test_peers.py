"""Compares this package with torchvision: inference, training, and the golden files.

    scripts/test_peers --help

scripts/test_peers makes the environments and runs this.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("golden", "inference", "training")
MODELS = (
    "maskrcnn_resnet50_fpn",
    "fasterrcnn_resnet50_fpn",
    "maskrcnn_resnet50_fpn_v2",
    "fasterrcnn_resnet50_fpn_v2",
    "keypointrcnn_resnet50_fpn",
)
# Sides from 248 to 640 px, from upright 9:16 to a banner of 2.6:1, without crowds.
IMAGES = (415, 113, 49, 263, 78, 143, 536, 260, 428, 597)
# What is trained on: the second is upright, and the first is padded to its height.
TRAINING_IMAGES = (536, 113)
QUICK = {"images": (536, 597), "size": (128, 213), "seeds": (0,), "steps": 3}


def main() -> int:
    args = parse_arguments()
    if not Path(args.python).exists():
        print(
            f"there is no {args.python}: scripts/setup_peers makes it, or name a Python that has "
            "torchvision by --python",
            file=sys.stderr,
        )
        return 1
    images = {}
    if set(args.parts) - {"golden"}:
        folder = Path(args.data or "") / "coco128"
        if not args.data or not folder.is_dir():
            print(
                f"there is no folder {folder}: set MRCNN_TF_DATA to one that holds coco128/, with "
                "annotations/ and train2017/, or take --parts golden, which needs no data",
                file=sys.stderr,
            )
            return 1
        images = {number: folder / "train2017" / f"{number:012d}.jpg" for number in IMAGES}

    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # what is compared are the results of the CPU
    from mrcnn_tf.data.write_json import write_json
    from mrcnn_tf.environment import environment

    start = time.perf_counter()
    found = {**environment(), "size": args.size, "rows": []}
    with tempfile.TemporaryDirectory(prefix="mrcnn-tf-peers-") as folder:
        for row in compare(args, Path(folder), images):
            found["rows"].append(row)
            print(describe(row), flush=True)
    found["seconds"] = time.perf_counter() - start
    failed = sum(not row["passed"] for row in found["rows"])
    found["passed"] = bool(found["rows"]) and not failed
    if args.json:
        write_json(args.json, found)
    outcome = "passed" if found["passed"] else f"FAILED: {failed} of {len(found['rows'])} rows"
    print(f"{outcome}, after {found['seconds'] / 60:.1f} minutes")
    return 0 if found["passed"] else 1


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--parts", default=",".join(PARTS), help="some of them")
    parser.add_argument("--models", default=",".join(MODELS), help="some of them")
    parser.add_argument("--seeds", help="of the weights (default 0,1)")
    parser.add_argument("--size", help="short side, longest long side (default 800,1333)")
    parser.add_argument("--steps", type=int, help="of the training part (default 20)")
    parser.add_argument("--quick", action="store_true", help="smaller defaults")
    parser.add_argument("--data", default=os.environ.get("MRCNN_TF_DATA"), help="has coco128/")
    parser.add_argument("--python", default=str(ROOT / ".venv-peers/bin/python"))
    parser.add_argument("--json", help="file for everything that was found")
    args = parser.parse_args()
    args.parts, args.models = args.parts.split(","), args.models.split(",")
    for name, known in (("parts", PARTS), ("models", MODELS)):
        if not set(getattr(args, name)) <= set(known):
            parser.error(f"--{name} takes {', '.join(known)}")
    smaller = QUICK if args.quick else {}
    args.images = smaller.get("images", IMAGES)
    args.steps = args.steps or smaller.get("steps", 20)
    try:
        for name, default in (("seeds", (0, 1)), ("size", (800, 1333))):
            text = getattr(args, name)
            numbers = tuple(int(part) for part in text.split(",")) if text else None
            setattr(args, name, numbers or smaller.get(name, default))
        short, long = args.size
        if min(args.seeds) < 0 or not 0 < short <= long or args.steps < 1:
            raise ValueError
    except ValueError:
        parser.error("--seeds takes numbers as 0,1, --size takes 800,1333, --steps is positive")
    return args


def compare(args: argparse.Namespace, folder: Path, images: dict[int, Path]) -> Iterator[dict]:
    """Yields a row for everything that is compared."""
    from test_peers_golden import compare_golden_files
    from test_peers_inference import compare_inference
    from test_peers_training import compare_training
    from test_peers_worker import Peer

    if "golden" in args.parts:
        for row in compare_golden_files(args.python, folder):
            yield {"part": "golden", "model": "", "seed": None, **row}
    if not images:
        return
    with Peer(args.python, folder, args.size) as peer:
        for model in args.models:
            for seed in args.seeds:
                keys = {"model": model, "seed": seed}
                if "inference" in args.parts:
                    files = [images[number] for number in args.images]
                    for row in compare_inference(peer, model, seed, files):
                        yield {"part": "inference", **keys, **row}
                if "training" in args.parts:
                    files = [images[number] for number in TRAINING_IMAGES]
                    for row in compare_training(peer, model, seed, files, args.steps):
                        yield {"part": "training", **keys, **row}


def describe(row: dict) -> str:
    """A row of the table, and a line for each result without a partner."""
    where = row["part"] if row["seed"] is None else f"{row['model']} {row['seed']}"
    verdict = "" if row["passed"] else ": FAILED"
    lines = [f"{where:<27} {row['what']:<22} {row['result']}{verdict}"]
    for each in row.get("unpaired", ()):
        tie = each["tie"] or "NO NEAR TIE"
        lines.append(
            f"    {each['image']} {each['side']:<6} group {each['group']}, "
            f"score {each['score']:.6f}, box {each['box']}: {tie}"
        )
    for each in row.get("unequal_masks", ()):
        tie = each["tie"] or "NO NEAR TIE"
        lines.append(
            f"    {each['image']} mask   group {each['group']}, IoU {each['iou']:.5f}, "
            f"{each['pixels']} pixels: {tie}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
