"""Finding and opening one split of a COCO folder, or of a folder of records."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

from mrcnn_tf.data.coco_dataset import CocoDataset
from mrcnn_tf.data.records import RecordDataset
from mrcnn_tf.data.records_format import MANIFEST, PLAN

_FILE_NAME = re.compile(rb'"file_name"\s*:\s*("(?:[^"\\]|\\.)*")')
_BLOCK = 1 << 20


def find_split(data_folder: str | os.PathLike, stem: str) -> tuple[str, str]:
    """Finds the images that belong to `annotations/STEM.json`.

    The folder is the first of DATA/images, DATA/<what follows the last underscore of STEM>,
    DATA/STEM, DATA itself and its direct subfolders that holds the first image the annotations
    name. So COCO's own layout (`instances_val2017` with `val2017/`), one shared `images/` and a
    folder per split all work.

    Args:
        data_folder: the folder that holds `annotations/`.
        stem: name of the annotation file without `.json`.

    Returns:
        (images folder, annotation file).

    Raises:
        FileNotFoundError: the folder, the annotations or the first image do not exist.
        ValueError: the annotation file names no image, or the folder holds records.

    Example:

    >>> images, annotations = find_split("coco", "instances_val2017")
    >>> images
    'coco/val2017'
    """
    root = Path(data_folder)
    if not root.is_dir():
        raise FileNotFoundError(f"data folder {root} does not exist")
    if _holds_records(root):
        raise ValueError(
            f"{root} holds records, which are for training alone; give the COCO folder that they "
            "were made from (for the --val of `mrcnn-tf train` with --val-data)"
        )
    stem = stem.removesuffix(".json")
    annotations = root / "annotations" / f"{stem}.json"
    if not annotations.is_file():
        known = sorted(path.stem for path in (root / "annotations").glob("*.json"))
        there = f"there are: {', '.join(known)}" if known else "that folder holds no .json file"
        raise FileNotFoundError(f"{annotations} does not exist; {there}")
    first = _first_file_name(annotations)
    candidates = [root / "images", root / stem.rsplit("_", 1)[-1], root / stem, root]
    candidates += sorted(path for path in root.iterdir() if path.is_dir())
    for folder in candidates:
        if (folder / first).is_file():
            return str(folder), str(annotations)
    tried = ", ".join(dict.fromkeys(str(folder) for folder in candidates))
    raise FileNotFoundError(
        f"{annotations} names {first} as its first image, which is in none of: {tried}"
    )


def open_split(
    data_folder: str | os.PathLike,
    stem: str,
    *,
    image_ids: Sequence[int] | int | None = None,
    keypoints: bool = False,
    on_error: str = "raise",
) -> CocoDataset | RecordDataset:
    """One split of a COCO folder, or a folder of records (`manifest.json`, no `annotations/`).

    Args:
        data_folder: see `find_split`, or a folder that `write_records` has written.
        stem: name of the annotation file without `.json`.
        image_ids: see `CocoDataset`.
        keypoints: with the joints of `find_keypoints`. Records have theirs already.
        on_error: see `CocoDataset`.

    Raises:
        FileNotFoundError, ValueError: see `find_split`, `CocoDataset` and `RecordDataset`, or the
            records are those of another split.

    Example:

    >>> dataset = open_split("coco", "instances_val2017", keypoints=True)
    """
    if _holds_records(Path(data_folder)):
        records = RecordDataset(data_folder, image_ids=image_ids, on_error=on_error)
        if records.manifest["split"] != stem:
            raise ValueError(
                f"{data_folder} holds records of the split {records.manifest['split']}, "
                f"not of {stem}"
            )
        return records
    images, annotations = find_split(data_folder, stem)
    return CocoDataset(
        images,
        annotations,
        image_ids=image_ids,
        on_error=on_error,
        keypoint_annotations=find_keypoints(annotations) if keypoints else None,
    )


def find_keypoints(annotations: str | os.PathLike) -> str | None:
    """COCO's file with the joints of the persons of an `instances_*.json`, which lies beside it.

    Args:
        annotations: the annotation file.

    Returns:
        The path of `person_keypoints_X.json` for `instances_X.json`, None if there is none.

    Example:

    >>> find_keypoints("coco/annotations/instances_val2017.json")
    'coco/annotations/person_keypoints_val2017.json'
    """
    annotations = Path(annotations)
    if not annotations.name.startswith("instances_"):
        return None
    beside = annotations.with_name(annotations.name.replace("instances_", "person_keypoints_", 1))
    return str(beside) if beside.is_file() else None


def _holds_records(folder: Path) -> bool:
    written = any((folder / name).is_file() for name in (MANIFEST, PLAN))
    return written and not (folder / "annotations").is_dir()


def _first_file_name(annotations: Path) -> str:
    """The first "file_name", without parsing a file that may be hundreds of megabytes."""
    tail = b""
    with open(annotations, "rb") as file:
        while block := file.read(_BLOCK):
            text = tail + block
            if match := _FILE_NAME.search(text):
                return json.loads(match.group(1))
            tail = text[-4096:]
    raise ValueError(f"{annotations} names no image (no `file_name` in it)")
