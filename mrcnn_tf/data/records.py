"""`RecordDataset`: a folder of records, read in place of a COCO folder."""

from __future__ import annotations

import hashlib
import os
import threading
import warnings
import zlib
from collections import Counter
from collections.abc import Hashable, Sequence
from pathlib import Path

import numpy as np

from mrcnn_tf.data.image_files import ImageError
from mrcnn_tf.data.records_format import (
    INDEX_TYPE,
    MANIFEST,
    decode_record,
    index_path,
    read_manifest,
)
from mrcnn_tf.data.sample import Sample

_REMEDY = "`mrcnn-tf data verify` names all that is damaged and how to restore it"


class RecordDataset:
    """Images and annotations in sharded TFRecords, as `mrcnn-tf data convert` writes them.

    `mrcnn_tf.data.coco` and `mrcnn_tf.training.train` take it in place of the `CocoDataset` that it
    was made from, and give the same batches, bit by bit: any image is read by its id, so order,
    epochs and the parts of workers are those of the data set, not of the shards. Annotations stay
    in the shards; ids, sizes, numbers of objects and offsets are in memory, 44 bytes an image.

    Evaluation needs the annotation file and does not take records.

    Args:
        folder: the folder with `manifest.json`.
        image_ids: the images to use: a list of ids (kept in that order), or n for the first n of
            the sorted ids. Default: all, in the order of the data set that was converted.
        on_error: what becomes of a record that cannot be read: `"raise"`, or `"skip"` to leave it
            out and count it.

    Attributes:
        category_ids, class_names, num_classes, keypoint_names, keypoint_skeleton,
            keypoint_classes, image_ids, skipped: as those of `CocoDataset`; `skipped` counts what
            was left out at the conversion as well.
        manifest: the content of `manifest.json`.

    Raises:
        FileNotFoundError: there are no records, or a shard is missing.
        ValueError: the manifest, a shard or an index is damaged or of another format version.

    Example:

    >>> records = RecordDataset("coco_records")
    >>> train = mrcnn_tf.data.coco(records, batch_size=2, shuffle=True, flip=True)
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        *,
        image_ids: Sequence[int] | int | None = None,
        on_error: str = "raise",
    ):
        if on_error not in ("raise", "skip"):
            raise ValueError(f"on_error must be 'raise' or 'skip', got {on_error!r}")
        self.folder = Path(folder)
        self.manifest = read_manifest(folder)
        self.on_error = on_error
        # What messages name, and what caches compare.
        self.annotation_file = self.folder / MANIFEST
        self.images_folder = self.folder
        self.keypoint_file = None
        self.category_ids = [category["id"] for category in self.manifest["categories"]]
        self.class_names = [category["name"] for category in self.manifest["categories"]]
        self.keypoint_classes = list(self.manifest["keypoint_classes"])
        self.keypoint_skeleton = [(a, b) for a, b in self.manifest["keypoint_skeleton"]]
        self.skipped: Counter[str] = Counter(self.manifest["skipped"])
        self._noted: set[tuple[str, Hashable]] = set()
        self._lock = threading.Lock()

        self._shards = [self.folder / shard["name"] for shard in self.manifest["shards"]]
        indices = [self._read_index(shard) for shard in self.manifest["shards"]]
        self._first = np.cumsum([0] + [len(index) for index in indices])
        self._index = np.concatenate(indices)
        if not len(self._index):
            raise ValueError(f"{self.annotation_file}: the records hold no images")
        self._by_id = np.argsort(self._index["image_id"], kind="stable")
        self._sorted_ids = self._index["image_id"][self._by_id]
        self.image_ids = self._choose_images(image_ids)

    @property
    def num_classes(self) -> int:
        return len(self.category_ids)

    @property
    def keypoint_names(self) -> list[str]:
        """Names of the joints.

        Raises:
            ValueError: the data was converted without joints.
        """
        names = self.manifest["keypoint_names"]
        if not names:
            raise ValueError(
                f"{self.annotation_file}: the records hold no joints; convert the data with "
                "`mrcnn-tf data convert --keypoints`"
            )
        return list(names)

    def __len__(self) -> int:
        return len(self.image_ids)

    def path(self, image_id: int) -> str:
        """The shard and the record of an image, for messages."""
        shard, position = self._place(self._row(image_id))
        return f"{self._shards[shard]} (record {position})"

    def size(self, image_id: int) -> tuple[int, int]:
        """(height, width) of an image in pixels."""
        entry = self._index[self._row(image_id)]
        return int(entry["height"]), int(entry["width"])

    def object_counts(self, crowds: bool = True) -> np.ndarray:
        """How many usable annotations each image has, see `CocoDataset.object_counts`."""
        rows = self._by_id[np.searchsorted(self._sorted_ids, self.image_ids)]
        counts = self._index["annotations"][rows].astype(np.int64)
        return counts if crowds else counts - self._index["crowds"][rows]

    def read(self, image_id: int, keypoints: bool = False) -> Sample:
        """An image at its own size with all its objects.

        Args:
            image_id: the dataset's id.
            keypoints: with the joints.

        Raises:
            ImageError: the record cannot be read; the message names shard, record and image.
        """
        row = self._row(image_id)
        entry = self._index[row]
        shard, _ = self._place(row)
        name = f"{self.path(image_id)}, image id {image_id}"
        try:
            with open(self._shards[shard], "rb") as file:
                file.seek(int(entry["offset"]))
                record = file.read(int(entry["length"]))
        except OSError as error:
            raise ImageError(f"{name}: cannot be read: {error.strerror or error}") from error
        if zlib.crc32(record) != entry["crc32"]:
            raise ImageError(f"{name}: the record is damaged (another checksum). {_REMEDY}")
        return decode_record(
            record, name, self.category_ids, self.keypoint_names if keypoints else []
        )

    def note_skipped(self, reason: str, key: Hashable, detail: str) -> None:
        """Counts something found unusable while reading, once for each (reason, key)."""
        with self._lock:
            if (reason, key) in self._noted:
                return
            self._noted.add((reason, key))
            self.skipped[reason] += 1
        warnings.warn(f"{self.annotation_file}: skipped: {reason}: {detail}", stacklevel=2)

    def _row(self, image_id: int) -> int:
        place = int(np.searchsorted(self._sorted_ids, image_id))
        if place == len(self._sorted_ids) or self._sorted_ids[place] != image_id:
            raise KeyError(f"{self.annotation_file} has no image with id {image_id}")
        return int(self._by_id[place])

    def _place(self, row: int) -> tuple[int, int]:
        """The number of the shard that a row of the index belongs to, and of the record in it."""
        shard = int(np.searchsorted(self._first, row, side="right")) - 1
        return shard, row - int(self._first[shard])

    def _read_index(self, shard: dict) -> np.ndarray:
        path = self.folder / shard["name"]
        for file, size in ((path, shard["bytes"]), (index_path(path), shard["index_bytes"])):
            if not file.is_file():
                raise FileNotFoundError(f"{file} is missing. {_REMEDY}")
            if file.stat().st_size != size:
                raise ValueError(
                    f"{file} has {file.stat().st_size} bytes, {MANIFEST} says {size}. {_REMEDY}"
                )
        content = index_path(path).read_bytes()
        if hashlib.sha256(content).hexdigest() != shard["index_sha256"]:
            raise ValueError(f"{index_path(path)} is damaged (another hash). {_REMEDY}")
        index = np.load(index_path(path), allow_pickle=False)
        if index.dtype != INDEX_TYPE or len(index) != shard["images"]:
            raise ValueError(f"{index_path(path)} is not an index of {path}. {_REMEDY}")
        return index

    def _choose_images(self, wanted: Sequence[int] | int | None) -> list[int]:
        if wanted is None:
            return self._index["image_id"].tolist()
        if isinstance(wanted, int):
            if wanted < 1:
                raise ValueError(f"image_ids must be at least 1 image, got {wanted}")
            return self._sorted_ids[:wanted].tolist()
        chosen = [int(image_id) for image_id in wanted]
        unknown = np.setdiff1d(chosen, self._sorted_ids).tolist()
        if unknown:
            raise ValueError(
                f"image_ids {unknown[:5]} ({len(unknown)} in all) are not in {self.annotation_file}"
            )
        if not chosen or len(set(chosen)) < len(chosen):
            raise ValueError("image_ids must be at least one id, each given once")
        return chosen
