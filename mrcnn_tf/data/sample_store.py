"""Stores of decoded samples, in memory or in a folder, with random access."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from mrcnn_tf.data.instance_masks import pack_crops, unpack_crops
from mrcnn_tf.data.transforms import Sample

_FORMAT = 1  # raised when what is stored changes


class MemoryStore:
    """Keeps samples in memory, their masks bit-packed: about H x W x 3 bytes an image."""

    def __init__(self):
        self._samples: dict[int, tuple[Sample, np.ndarray, np.ndarray]] = {}

    def get(self, image_id: int) -> Sample | None:
        found = self._samples.get(image_id)
        if found is None:
            return None
        sample, packed, shapes = found
        return replace(sample, crops=unpack_crops(packed, shapes))

    def put(self, sample: Sample) -> None:
        packed, shapes = pack_crops(sample.crops)
        self._samples[sample.image_id] = (replace(sample, crops=[]), packed, shapes)


class FolderStore:
    """Keeps samples in a folder, one uncompressed .npz file each.

    Samples are written to a subfolder named after `description`, so that a folder can be shared by
    data sets and settings. A sample is read only while its image file is as it was when it was
    written (size and time of change).

    Args:
        folder: made if it does not exist.
        description: everything but the image file that decides what a sample looks like.
        image_path: gives the path of an image file by image id.
    """

    def __init__(
        self, folder: str | os.PathLike, description: str, image_path: Callable[[int], str]
    ):
        self._image_path = image_path
        digest = hashlib.sha256(f"{_FORMAT} {description}".encode()).hexdigest()[:16]
        self._folder = Path(folder) / digest
        self._folder.mkdir(parents=True, exist_ok=True)

    def get(self, image_id: int) -> Sample | None:
        try:
            with np.load(self._path(image_id)) as stored:
                values = {key: stored[key] for key in stored.files}
        except (FileNotFoundError, EOFError, ValueError, BadZipFile):
            return None  # absent or damaged: read from the image again
        if not np.array_equal(values.pop("stamp"), self._stamp(image_id)):
            return None
        crops = unpack_crops(values.pop("packed"), values.pop("shapes"))
        return Sample(image_id=image_id, crops=crops, **values)

    def put(self, sample: Sample) -> None:
        packed, shapes = pack_crops(sample.crops)
        path = self._path(sample.image_id)
        temporary = path.with_name(f"{path.stem}.{os.getpid()}-{threading.get_ident()}.tmp.npz")
        np.savez(
            temporary,
            image=sample.image,
            boxes=sample.boxes,
            classes=sample.classes,
            is_crowd=sample.is_crowd,
            mask_boxes=sample.mask_boxes,
            packed=packed,
            shapes=shapes,
            stamp=self._stamp(sample.image_id),
        )
        os.replace(temporary, path)

    def _path(self, image_id: int) -> Path:
        return self._folder / f"{image_id}.npz"

    def _stamp(self, image_id: int) -> np.ndarray:
        try:
            status = os.stat(self._image_path(image_id))
        except OSError:
            return np.zeros(2, np.int64)
        return np.array([status.st_size, status.st_mtime_ns], np.int64)
