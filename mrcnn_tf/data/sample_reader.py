"""Samples of a data set by image id, resized, with a store of what was read."""

from __future__ import annotations

import os

import numpy as np
import tensorflow as tf

from mrcnn_tf.data.coco_dataset import UNUSABLE_IMAGE, CocoDataset
from mrcnn_tf.data.coco_reader import CocoEntry, CocoReader
from mrcnn_tf.data.image_files import ImageError
from mrcnn_tf.data.records import RecordDataset
from mrcnn_tf.data.sample import Sample
from mrcnn_tf.data.sample_store import FolderStore, MemoryStore
from mrcnn_tf.data.transforms import rescale
from mrcnn_tf.ops.resize_image import resize_image, resized_shape


class SampleReader:
    """Samples of a dataset by image id.

    Args:
        dataset: the annotations and images, or records of both.
        size: (short side, long side) images are resized to, or None for the original size.
        max_objects: how many objects of an image are kept, see `mrcnn_tf.data.coco`.
        cache: False, True (memory) or a folder.
        image_resize: how images are resized, see `mrcnn_tf.data.coco`.
        keypoints: read joints as well.
    """

    def __init__(
        self,
        dataset: CocoDataset | RecordDataset,
        size: tuple[int, int] | None,
        max_objects: int,
        cache: bool | str | os.PathLike,
        image_resize: str = "antialias",
        keypoints: bool = False,
    ):
        self._dataset = dataset
        self._keypoint_names = dataset.keypoint_names if keypoints else []
        self._coco_reader = None
        if isinstance(dataset, CocoDataset):
            self._coco_reader = CocoReader(
                dataset.annotation_file,
                self._keypoint_names,
                dataset.on_error,
                dataset.note_skipped,
            )
        self._size = size
        self._max_objects = max_objects
        self._image_resize = image_resize
        self._store: MemoryStore | FolderStore | None = None
        if cache is True:
            self._store = MemoryStore()
        elif cache is not False:
            self._store = FolderStore(cache, self._description(), dataset.path)

    def read(self, image_id: int) -> Sample | None:
        """The sample of an image, None where its file is unusable and the dataset skips such."""
        sample = self._store.get(image_id) if self._store else None
        if sample is not None:
            return sample
        try:
            sample = self._read(image_id)
        except ImageError as error:
            if self._dataset.on_error == "raise":
                raise
            self._dataset.note_skipped(UNUSABLE_IMAGE, image_id, str(error))
            return None
        sample = sample.take(largest_objects(sample, self._max_objects))
        if self._size is not None:
            sample = rescale(sample, resize(sample.image, self._size, self._image_resize))
        if self._store:
            self._store.put(sample)
        return sample

    def _read(self, image_id: int) -> Sample:
        """The sample at the size of the image file, with all its objects."""
        if self._coco_reader is None:
            return self._dataset.read(image_id, keypoints=bool(self._keypoint_names))
        return self._coco_reader.read(CocoEntry.of(self._dataset, image_id))

    def _description(self) -> str:
        files = [self._dataset.annotation_file]
        if self._keypoint_names and self._dataset.keypoint_file:
            files.append(self._dataset.keypoint_file)
        status = [os.stat(file) for file in files]
        return repr(
            (
                *map(os.path.abspath, files),
                *(number for file in status for number in (file.st_size, file.st_mtime_ns)),
                os.path.abspath(self._dataset.images_folder),
                self._dataset.category_ids,
                self._dataset.on_error,
                self._size,
                self._image_resize,
                self._max_objects,
                *self._keypoint_names,
            )
        )


def resize(image: np.ndarray, size: tuple[int, int], method: str = "antialias") -> np.ndarray:
    """Resizes uint8 [H, W, 3] so that it fits (short side, long side), see `ops.resize_image`.

    The result is uint8 by all methods: samples are kept and batched in whole values.
    """
    if tuple(resized_shape(*image.shape[:2], *size, method)) == image.shape[:2]:
        return image
    with tf.device("/CPU:0"):
        resized = resize_image(image, *size, method).numpy()
    return resized if resized.dtype == np.uint8 else (resized + 0.5).astype(np.uint8)


def largest_objects(sample: Sample, count: int) -> np.ndarray:
    """Indices of the `count` objects to keep, in their order: no crowd first, then by box area."""
    if len(sample.classes) <= count:
        return np.arange(len(sample.classes))
    boxes = sample.boxes.astype(np.float64)
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return np.sort(np.lexsort((-area, sample.is_crowd))[:count])
