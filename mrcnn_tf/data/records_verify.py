"""Finding what is damaged in a folder of records."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mrcnn_tf.data.records_format import index_path, read_manifest
from mrcnn_tf.data.records_plan import sha256

_LISTED = 5  # how many records of a damaged shard are named


def verify_records(
    folder: str | os.PathLike, on_progress: Callable[[int], None] | None = None
) -> dict[str, str]:
    """Compares every file of a folder of records with the hash that its manifest has.

    Args:
        folder: the folder with `manifest.json`.
        on_progress: called after every shard with its number of images.

    Returns:
        What is wrong by name of the file, empty if nothing is. For a shard whose index is whole,
        the records that are damaged are named.

    Raises:
        FileNotFoundError, ValueError: see `records_format.read_manifest`.

    Example:

    >>> verify_records("coco_records")
    {}
    """
    damage = {}
    for summary in read_manifest(folder)["shards"]:
        shard = Path(folder) / summary["name"]
        index = index_path(shard)
        files = ((index, "index_bytes", "index_sha256"), (shard, "bytes", "sha256"))
        for file, size, digest in files:
            if not file.is_file():
                damage[file.name] = "is missing"
            elif file.stat().st_size != summary[size]:
                damage[file.name] = f"has {file.stat().st_size} bytes instead of {summary[size]}"
            elif sha256(file) != summary[digest]:
                damage[file.name] = "has another hash than the manifest says"
        if shard.name in damage and shard.is_file() and index.name not in damage:
            damage[shard.name] += _damaged_records(shard, np.load(index, allow_pickle=False))
        if on_progress:
            on_progress(summary["images"])
    return damage


def _damaged_records(shard: Path, index: np.ndarray) -> str:
    found = []
    with open(shard, "rb") as file:
        for position, entry in enumerate(index):
            file.seek(int(entry["offset"]))
            if zlib.crc32(file.read(int(entry["length"]))) != entry["crc32"]:
                found.append(f"{position} (image id {entry['image_id']})")
    if not found:
        return ", between its records"
    listed = ", ".join(found[:_LISTED]) + (", ..." if len(found) > _LISTED else "")
    return f", in {len(found)} records: {listed}"
