"""Stores of decoded samples, in memory or in a folder, with random access."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from mrcnn_tf.data.instance_masks import pack_crops, unpack_crops
from mrcnn_tf.data.sample import Sample

_FORMAT = 2  # raised when what is stored changes


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
    """Keeps samples in a folder, one uncompressed .zip file of raw arrays each.

    It is no .npz file, as NumPy parses the head of an array with `ast`, which CPython 3.11 does not
    bear in several threads (python/cpython#106905), and readers are threads beside the one that
    traces the training step.

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
            values = _read_arrays(self._path(image_id))
        except (FileNotFoundError, EOFError, KeyError, ValueError, zipfile.BadZipFile):
            return None  # absent or damaged: read from the image again
        if not np.array_equal(values.pop("stamp"), self._stamp(image_id)):
            return None
        crops = unpack_crops(values.pop("packed"), values.pop("shapes"))
        return Sample(image_id=image_id, crops=crops, **values)

    def put(self, sample: Sample) -> None:
        packed, shapes = pack_crops(sample.crops)
        path = self._path(sample.image_id)
        temporary = path.with_name(f"{path.stem}.{os.getpid()}-{threading.get_ident()}.tmp")
        arrays = {
            "image": sample.image,
            "boxes": sample.boxes,
            "classes": sample.classes,
            "is_crowd": sample.is_crowd,
            "mask_boxes": sample.mask_boxes,
            "packed": packed,
            "shapes": shapes,
            "stamp": self._stamp(sample.image_id),
        }
        if sample.keypoints is not None:
            arrays |= {name: getattr(sample, name) for name in ("keypoints", "mirrored_joints")}
        _write_arrays(temporary, arrays)
        os.replace(temporary, path)

    def _path(self, image_id: int) -> Path:
        return self._folder / f"{image_id}.zip"

    def _stamp(self, image_id: int) -> np.ndarray:
        try:
            status = os.stat(self._image_path(image_id))
        except OSError:
            return np.zeros(2, np.int64)
        return np.array([status.st_size, status.st_mtime_ns], np.int64)


def _write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    heads = {name: [array.dtype.str, array.shape] for name, array in arrays.items()}
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("heads.json", json.dumps(heads))
        for name, array in arrays.items():
            file.writestr(name, np.ascontiguousarray(array).data.cast("B") if array.size else b"")


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(path) as file:
        heads = json.loads(file.read("heads.json"))
        return {
            name: np.frombuffer(bytearray(file.read(name)), dtype).reshape(shape)
            for name, (dtype, shape) in heads.items()
        }
