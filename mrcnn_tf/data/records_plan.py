"""What a conversion to records will write, and what of it is there already."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

from mrcnn_tf.data.coco_dataset import CocoDataset
from mrcnn_tf.data.records_format import (
    FORMAT_VERSION,
    MANIFEST,
    PLAN,
    index_path,
    read_manifest,
)
from mrcnn_tf.data.write_json import write_json

WRITING = ".writing"  # how the names of files end that are not whole yet
_BLOCK = 1 << 20


def make_plan(dataset: CocoDataset, split: str, shards: int, keypoints: bool) -> dict:
    """What decides the content of the shards, the head of the manifest.

    A folder that holds another plan is one of another conversion.
    """
    names, skeleton, classes = [], [], []
    if keypoints:
        names, classes = dataset.keypoint_names, dataset.keypoint_classes
        skeleton = [list(pair) for pair in dataset.keypoint_skeleton]
    ids = np.array(dataset.image_ids, "<i8")
    categories = zip(dataset.category_ids, dataset.class_names, strict=True)
    return {
        "format_version": FORMAT_VERSION,
        "split": split,
        "source": {
            "annotations": _file(dataset.annotation_file),
            "keypoints": _file(dataset.keypoint_file) if dataset.keypoint_file else None,
            "image_ids_sha256": hashlib.sha256(ids.tobytes()).hexdigest(),
        },
        "options": {"shards": shards, "keypoints": keypoints, "on_error": dataset.on_error},
        "categories": [{"id": number, "name": name} for number, name in categories],
        "keypoint_names": names,
        "keypoint_skeleton": skeleton,
        "keypoint_classes": classes,
    }


def _file(path: Path) -> dict:
    return {"name": path.name, "bytes": path.stat().st_size, "sha256": sha256(path)}


def resume(folder: Path, plan: dict) -> dict[str, dict]:
    """The summaries of the shards of a finished conversion, by name.

    Raises:
        FileExistsError: the folder has been written by another plan.
    """
    summaries = {}
    before = None
    if (folder / MANIFEST).is_file():
        before = read_manifest(folder)
        summaries = {shard["name"]: shard for shard in before["shards"]}
    elif (folder / PLAN).is_file():
        before = json.loads((folder / PLAN).read_text(encoding="utf-8"))
    if before is None:
        write_json(folder / PLAN, plan)
    elif other := [key for key in plan if before.get(key) != plan[key]]:
        raise FileExistsError(
            f"{folder} holds records that were made in another way ({', '.join(other)} differ); "
            "give another folder, or delete it"
        )
    for leftover in folder.glob(f"*{WRITING}"):
        leftover.unlink()
    return summaries


def finished_shard(shard: Path, before: dict[str, dict]) -> dict | None:
    """The summary of a shard that is there as a whole."""
    summary = before.get(shard.name)
    if marker_path(shard).is_file():
        summary = json.loads(marker_path(shard).read_text(encoding="utf-8"))
    if summary is None:
        return None
    for file, size in ((shard, "bytes"), (index_path(shard), "index_bytes")):
        if not file.is_file() or file.stat().st_size != summary[size]:
            return None
    return summary


def marker_path(shard: Path) -> Path:
    """Where it is said, until all shards are, that a shard is whole, and what it holds."""
    return shard.with_suffix(".json")


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
