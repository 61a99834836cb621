"""The index of a COCO annotation file: columns of what is looked up, the rest stays in the file."""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import typing
import weakref
from array import array
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from mrcnn_tf.data.coco_file import read_entries
from mrcnn_tf.data.index_store import load_index, store_index

MISSING = 1 << 62  # the number of an id that there is not
NO_JOINTS, NO_VISIBLE_JOINTS, JOINTS = range(3)

_STORED_FROM = 1 << 25  # bytes; a smaller file is parsed in a second
_TOLD_EVERY = 1000  # entries
_COLUMNS = {  # dtype and length of a row
    "image_ids": ("q", 1),
    "image_sizes": ("i", 2),  # height and width, -1 where they are not given
    "image_pieces": ("q", 2),  # offset and length in the file
    "name_ends": ("q", 1),  # where each file name ends in `names`
    "names": ("B", 1),
    "ids": ("q", 1),
    "image_of": ("q", 1),  # id of each annotation's image
    "category_of": ("q", 1),
    "boxes": ("d", 4),  # as in the file: x, y, width, height; NaN where malformed
    "is_crowd": ("B", 1),
    "joints": ("B", 1),
    "pieces": ("q", 2),
}


class CocoIndex:
    """The columns of an annotation file, and its entries one by one.

    The columns hold what is needed of every entry to check and choose; an annotation with its
    polygons is read from the file when it is asked for. So what is in memory is 74 bytes an
    annotation, and of a large file that is mapped from the stored index.

    A large file is indexed once, with a progress bar. The index is stored in the folder `.mrcnn_tf`
    beside the file, or, if that cannot be written, in `~/.keras/mrcnn_tf` (`$KERAS_HOME`), and made
    again when it is damaged, or size or time of change of the file differ.

    Args:
        path: the annotation file.

    Attributes:
        path: the annotation file.
        categories: list of dict.
        image_ids, image_sizes: int64 [I], int32 [I, 2] (height and width, -1 if not given).
        ids, image_of, category_of: int64 [A], the annotations' numbers by `id_number`.
        boxes: float64 [A, 4], x, y, width, height; NaN where malformed.
        is_crowd: uint8 [A].
        joints: uint8 [A], `NO_JOINTS`, `NO_VISIBLE_JOINTS` (a list of zeros) or `JOINTS`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not JSON, lacks a list, or has an image without id or file name.

    Example:

    >>> index = CocoIndex("coco/annotations/instances_val2017.json")
    >>> len(index.image_ids), index.image(0)["file_name"]
    (5000, '000000397133.jpg')
    """

    def __init__(self, path: Path):
        if not path.is_file():
            raise FileNotFoundError(f"annotation file {path} does not exist")
        self.path = path
        self._content: bytes | None = None
        if path.stat().st_size < _STORED_FROM:
            self._content = path.read_bytes()
            head, columns = _read(io.BytesIO(self._content), path, lambda position: None)
        else:
            # opened once: a file that another replaces meanwhile stays the one that was indexed
            self._file = os.open(path, os.O_RDONLY)
            weakref.finalize(self, os.close, self._file)
            self._stamp = self._current_stamp()
            head, columns = self._stored()
        self.categories: list[dict] = head["categories"]
        self._others: dict[str, list[int]] = head["others"]
        self.image_ids, self.image_sizes = columns["image_ids"], columns["image_sizes"]
        self.ids, self.image_of = columns["ids"], columns["image_of"]
        self.category_of, self.boxes = columns["category_of"], columns["boxes"]
        self.is_crowd, self.joints = columns["is_crowd"], columns["joints"]
        self._name_ends, self._names = columns["name_ends"], columns["names"]
        self._image_pieces, self._pieces = columns["image_pieces"], columns["pieces"]

    def name(self, image: int) -> str:
        """File name of an image by its place in the file, from 0."""
        start = self._name_ends[image - 1] if image else 0
        return self._names[start : self._name_ends[image]].tobytes().decode()

    def image(self, image: int) -> dict:
        """The entry of an image by its place in the file."""
        return self._entry(*self._image_pieces[image].tolist())

    def annotation(self, annotation: int) -> dict:
        """The entry of an annotation by its place in the file."""
        return self._entry(*self._pieces[annotation].tolist())

    def others(self) -> dict:
        """What the file holds beside images, annotations and categories."""
        return {key: self._entry(*piece) for key, piece in self._others.items()}

    def _entry(self, offset: int, length: int) -> typing.Any:
        if self._content is not None:
            return json.loads(self._content[offset : offset + length])
        if self._current_stamp() != self._stamp:
            raise ValueError(
                f"annotation file {self.path} was changed while it was in use: start again, and "
                "replace such a file by another of its name (mv) instead of writing into it"
            )
        return json.loads(os.pread(self._file, length, offset))

    def _current_stamp(self) -> list[int]:
        status = os.fstat(self._file)
        return [status.st_size, status.st_mtime_ns]

    def _stored(self) -> tuple[dict, dict[str, np.ndarray]]:
        places = _places(self.path)
        for place in places:
            if found := load_index(place, self._stamp):
                return found
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task(f"indexing {self.path.name}, once", total=self._stamp[0])
            with open(os.dup(self._file), "rb") as file:
                head, columns = _read(
                    file, self.path, lambda position: progress.update(task, completed=position)
                )
        return store_index(places, self._stamp, head, columns)


def id_number(value: object) -> int:
    """The number by which an id is compared: itself, if it is an integer of 62 bits.

    Ids of COCO are integers, but other tools write strings as well.
    """
    if isinstance(value, int) and -MISSING < value < MISSING:
        return int(value)
    if value is None:
        return MISSING
    if isinstance(value, float) and value.is_integer() and abs(value) < MISSING:
        return int(value)
    text = json.dumps(value, sort_keys=True).encode()
    return -MISSING - int.from_bytes(hashlib.blake2b(text, digest_size=7).digest(), "big")


def match_joints(instances: CocoIndex, joints: CocoIndex) -> tuple[np.ndarray, np.ndarray]:
    """Finds the annotations of one file that another has joints for.

    COCO's `instances_*.json` and `person_keypoints_*.json` describe the same objects under the
    same annotation ids.

    Returns:
        int64 [A], the annotation of `joints` that belongs to each of `instances`, -1 for none; and
        those with joints that have no counterpart of the same id, image and category.
    """
    having = np.flatnonzero(joints.joints != NO_JOINTS)
    order = np.argsort(instances.ids, kind="stable")
    place = np.searchsorted(instances.ids, joints.ids[having], sorter=order)
    partner = np.append(order, -1)[place]
    matches = (partner >= 0) & (joints.ids[having] != MISSING)
    for column in ("ids", "image_of", "category_of"):
        own, other = getattr(instances, column), getattr(joints, column)[having]
        matches[matches] = own[partner[matches]] == other[matches]
    rows = np.full(len(instances.ids), -1)
    rows[partner[matches]] = having[matches]
    return rows, having[~matches & (joints.joints[having] == JOINTS)]


def _places(path: Path) -> list[Path]:
    cache = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "mrcnn_tf"
    digest = hashlib.sha256(os.path.abspath(path).encode()).hexdigest()[:16]
    return [path.parent / ".mrcnn_tf" / f"{path.name}.index", cache / f"{path.stem}-{digest}.index"]


def _read(
    file: typing.BinaryIO, path: Path, tell: Callable[[int], None]
) -> tuple[dict, dict[str, np.ndarray]]:
    columns = {name: array(kind) for name, (kind, _) in _COLUMNS.items()}
    head: dict = {"categories": [], "others": {}}
    for number, (key, value, *piece) in enumerate(read_entries(file, path)):
        if key == "annotations":
            _add_annotation(columns, value, piece)
        elif key == "images":
            _add_image(columns, value, piece, path)
        elif key == "categories":
            head["categories"].append(value)
        else:
            head["others"][key] = piece
        if number % _TOLD_EVERY == 0:
            tell(piece[0])
    return head, {
        name: np.frombuffer(columns[name], kind).reshape((-1, length) if length > 1 else -1)
        for name, (kind, length) in _COLUMNS.items()
    }


def _add_image(columns: dict[str, array], image: dict, piece: Iterable[int], path: Path) -> None:
    image_id, name = image.get("id"), image.get("file_name")
    if not isinstance(image_id, int) or abs(image_id) >= MISSING or not isinstance(name, str):
        raise ValueError(
            f"{path}: every image needs an integer `id` and a `file_name`, "
            f"got id {image_id!r}, file_name {name!r}"
        )
    columns["image_ids"].append(image_id)
    for side in ("height", "width"):
        value = image.get(side)
        is_size = _is_finite(value) and 0 <= value < 1 << 31
        columns["image_sizes"].append(int(value) if is_size else -1)
    columns["names"].frombytes(name.encode())
    columns["name_ends"].append(len(columns["names"]))
    columns["image_pieces"].extend(piece)


def _add_annotation(columns: dict[str, array], annotation: dict, piece: Iterable[int]) -> None:
    columns["ids"].append(id_number(annotation.get("id")))
    columns["image_of"].append(id_number(annotation.get("image_id")))
    columns["category_of"].append(id_number(annotation.get("category_id")))
    box = annotation.get("bbox")
    is_box = isinstance(box, list) and len(box) == 4 and all(map(_is_finite, box))
    columns["boxes"].extend(box if is_box else _NO_BOX)
    columns["is_crowd"].append(bool(annotation.get("iscrowd", 0)))
    joints = NO_JOINTS
    if annotation.get("keypoints"):
        joints = JOINTS if annotation.get("num_keypoints", 1) else NO_VISIBLE_JOINTS
    columns["joints"].append(joints)
    columns["pieces"].extend(piece)


_NO_BOX = (math.nan,) * 4


def _is_finite(value: object) -> bool:
    # JSON's integers have no end; those that no float64 holds are no coordinates
    is_number = isinstance(value, float) or (isinstance(value, int) and abs(value) < MISSING)
    return is_number and math.isfinite(value)
