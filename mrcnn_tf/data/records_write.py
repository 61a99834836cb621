"""Writing a folder of records from a COCO data set: in parallel, resumed where it stopped."""

from __future__ import annotations

import concurrent.futures
import concurrent.futures.process
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mrcnn_tf.data.coco_dataset import UNUSABLE_IMAGE, CocoDataset
from mrcnn_tf.data.coco_reader import CocoEntry, CocoReader
from mrcnn_tf.data.image_files import ImageError, read_content
from mrcnn_tf.data.records_format import (
    FOOT_BYTES,
    HEAD_BYTES,
    INDEX_TYPE,
    MANIFEST,
    PLAN,
    encode_record,
    index_path,
    shard_name,
)
from mrcnn_tf.data.records_plan import (
    WRITING,
    finished_shard,
    make_plan,
    marker_path,
    resume,
    sha256,
)
from mrcnn_tf.data.write_json import write_json

IMAGES_PER_SHARD = 1000  # about 160 MB of COCO's photos


def write_records(
    dataset: CocoDataset,
    folder: str | os.PathLike,
    *,
    split: str | None = None,
    shards: int | None = None,
    keypoints: bool = False,
    workers: int = 1,
    on_progress: Callable[[int], None] | None = None,
) -> dict:
    """Writes a data set as sharded TFRecords, which `RecordDataset` reads.

    Image files are stored as they are, masks as the run lengths of each object's crop. Every image
    is decoded once, so that one that cannot be used is found now. A conversion that was stopped,
    at any moment, goes on with the shards that are not there, and its files equal, byte by byte,
    those of one that was not. A finished one restores shards that were deleted.

    Args:
        dataset: what to write. Its `on_error` decides what becomes of faults; what it leaves out
            is left out and counted in the manifest.
        folder: made if missing; one split has a folder to itself.
        split: the name that the shards begin with. Default: that of the annotation file.
        shards: number of shards. Default: one for 1000 images.
        keypoints: write the joints of the objects, which the data set must have.
        workers: processes that write shards at the same time. More than one need a program that
            may be imported again (`if __name__ == "__main__":`).
        on_progress: called with the number of images that became part of the folder.

    Returns:
        The manifest, which is in `folder/manifest.json` as well.

    Raises:
        FileExistsError: the folder holds records of other data or with other settings.
        ValueError, FileNotFoundError: the data cannot be used; the message names the file.

    Example:

    >>> dataset = CocoDataset("coco/val2017", "coco/annotations/instances_val2017.json")
    >>> write_records(dataset, "coco_records/val")["images"]
    5000
    """
    folder = Path(folder)
    count = -(-len(dataset) // IMAGES_PER_SHARD) if shards is None else shards
    if not 1 <= count <= len(dataset):
        raise ValueError(f"shards must be 1 to {len(dataset)}, one for an image; got {shards}")
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    split = split or dataset.annotation_file.stem
    plan = make_plan(dataset, split, count, keypoints)
    folder.mkdir(parents=True, exist_ok=True)
    before = resume(folder, plan)

    names = [shard_name(split, number, count) for number in range(count)]
    finished = {name: found for name in names if (found := finished_shard(folder / name, before))}
    parts = np.array_split(np.array(dataset.image_ids, np.int64), count)
    if on_progress:
        on_progress(sum(len(parts[names.index(name)]) for name in finished))
    tasks = (
        _task(dataset, folder / name, part.tolist(), keypoints)
        for name, part in zip(names, parts, strict=True)
        if name not in finished
    )
    for summary in _in_parallel(tasks, workers):
        finished[summary["name"]] = summary
        if on_progress:
            on_progress(summary["images"] + summary["skipped"].get(UNUSABLE_IMAGE, 0))

    summaries = [finished[name] for name in names]
    manifest = _manifest(plan, summaries, Counter(dataset.skipped))
    write_json(folder / MANIFEST, manifest)
    for file in (*(marker_path(folder / name) for name in names), folder / PLAN):
        file.unlink(missing_ok=True)
    return manifest


@dataclass(frozen=True)
class _Task:
    """What a process needs to write one shard."""

    path: Path
    entries: list[CocoEntry]
    file_names: list[str]
    category_ids: list[int]
    class_names: list[str]
    keypoint_names: list[str]
    annotation_file: str
    on_error: str
    skipped: dict[str, int]


def _task(dataset: CocoDataset, path: Path, image_ids: list[int], keypoints: bool) -> _Task:
    entries = []
    skipped: Counter[str] = Counter()
    for image_id in image_ids:
        try:
            entries.append(CocoEntry.of(dataset, image_id))
        except ImageError:  # its size is not in the annotations, and not in the file either
            if dataset.on_error == "raise":
                raise
            skipped[UNUSABLE_IMAGE] += 1
    return _Task(
        path=path,
        entries=entries,
        file_names=[os.path.relpath(entry.path, dataset.images_folder) for entry in entries],
        category_ids=dataset.category_ids,
        class_names=dataset.class_names,
        keypoint_names=dataset.keypoint_names if keypoints else [],
        annotation_file=str(dataset.annotation_file),
        on_error=dataset.on_error,
        skipped=skipped,
    )


def _write_shard(task: _Task) -> dict:
    """Writes a shard, its index, and at last the marker that says that both are whole."""
    import tensorflow as tf

    skipped = Counter(task.skipped)
    reader = CocoReader(
        task.annotation_file,
        task.keypoint_names,
        task.on_error,
        lambda reason, key, detail: skipped.update([reason]),
    )
    rows, objects = [], 0
    offset = HEAD_BYTES
    temporary = _temporary(task.path)
    with tf.io.TFRecordWriter(str(temporary)) as writer:
        for entry, file_name in zip(task.entries, task.file_names, strict=True):
            try:
                content = read_content(entry.path)
                sample, kept = reader.decode(entry, content)
            except ImageError:
                if task.on_error == "raise":
                    raise
                skipped[UNUSABLE_IMAGE] += 1
                continue
            annotations = [entry.annotations[position] for position in kept]
            record = encode_record(
                content, sample, file_name, annotations, task.category_ids, task.class_names
            )
            writer.write(record)
            crowds = sum(bool(a.get("iscrowd", 0)) for a in entry.annotations)
            place = (entry.image_id, offset, len(record), zlib.crc32(record))
            rows.append((*place, *entry.size, len(entry.annotations), crowds))
            objects += len(kept)
            offset += len(record) + FOOT_BYTES + HEAD_BYTES
    _rename(temporary, task.path)
    index = index_path(task.path)
    with open(_temporary(index), "wb") as file:
        np.save(file, np.array(rows, INDEX_TYPE))
    _rename(_temporary(index), index)
    summary = {
        "name": task.path.name,
        "images": len(rows),
        "objects": objects,
        "bytes": task.path.stat().st_size,
        "sha256": sha256(task.path),
        "index_bytes": index.stat().st_size,
        "index_sha256": sha256(index),
        "skipped": dict(sorted(skipped.items())),
    }
    write_json(marker_path(task.path), summary)
    return summary


def _in_parallel(tasks: Iterable[_Task], workers: int) -> Iterator[dict]:
    if workers == 1:
        yield from map(_write_shard, tasks)
        return
    # Not forked: TensorFlow's threads do not survive it.
    context = multiprocessing.get_context("spawn")
    pool = concurrent.futures.ProcessPoolExecutor(workers, context, initializer=_prepare_process)
    try:
        running: set[concurrent.futures.Future] = set()
        for task in tasks:
            running.add(pool.submit(_write_shard, task))
            if len(running) > workers:  # the annotations of a few shards at a time are in memory
                done, running = concurrent.futures.wait(
                    running, return_when=concurrent.futures.FIRST_COMPLETED
                )
                yield from (future.result() for future in done)
        yield from (future.result() for future in concurrent.futures.as_completed(running))
    except concurrent.futures.process.BrokenProcessPool:
        raise OSError(
            "a process that wrote a shard was ended from outside (out of memory?); run the "
            "conversion again, with fewer workers, and it goes on"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _prepare_process() -> None:
    """Keeps a process from taking a GPU's memory, and from going on without the one it is for.

    Ctrl-C lets it finish the shard it is at.
    """
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


def _manifest(plan: dict, summaries: list[dict], skipped: Counter) -> dict:
    for summary in summaries:
        skipped.update(summary["skipped"])
    totals = {key: sum(s[key] for s in summaries) for key in ("images", "objects")}
    return {**plan, **totals, "skipped": dict(sorted(skipped.items())), "shards": summaries}


def _temporary(path: Path) -> Path:
    return path.with_name(f"{path.name}.{os.getpid()}{WRITING}")


def _rename(temporary: Path, path: Path) -> None:
    with open(temporary, "rb") as file:
        os.fsync(file.fileno())
    os.replace(temporary, path)
