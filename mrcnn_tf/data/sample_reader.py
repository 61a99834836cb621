"""Reads one image and its objects from a CocoDataset, resized, with a store of what was read."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import tensorflow as tf

from mrcnn_tf.data.coco_dataset import (
    MALFORMED_KEYPOINTS,
    MALFORMED_SEGMENTATION,
    MASK_EMPTY,
    UNUSABLE_IMAGE,
    CocoDataset,
)
from mrcnn_tf.data.image_files import ImageError, is_rotated_by_exif, read_image
from mrcnn_tf.data.instance_masks import decode_crop
from mrcnn_tf.data.keypoints import mirrored_order, read_keypoints
from mrcnn_tf.data.sample_store import FolderStore, MemoryStore
from mrcnn_tf.data.transforms import Sample, rescale
from mrcnn_tf.ops.resize_image import resize_image, resized_shape


class SampleReader:
    """Samples of a dataset by image id.

    Args:
        dataset: the annotations and images.
        size: (short side, long side) images are resized to, or None for the original size.
        max_objects: how many objects of an image are kept, see `mrcnn_tf.data.coco`.
        cache: False, True (memory) or a folder.
        image_resize: how images are resized, see `mrcnn_tf.data.coco`.
        keypoints: read joints as well.
    """

    def __init__(
        self,
        dataset: CocoDataset,
        size: tuple[int, int] | None,
        max_objects: int,
        cache: bool | str | os.PathLike,
        image_resize: str = "antialias",
        keypoints: bool = False,
    ):
        self._dataset = dataset
        self._keypoint_names = dataset.keypoint_names if keypoints else []
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
            image = self._read_image(image_id)
        except ImageError as error:
            if self._dataset.on_error == "raise":
                raise
            self._dataset.note_skipped(UNUSABLE_IMAGE, image_id, str(error))
            return None
        sample = self._read_objects(image_id, image)
        if self._size is not None:
            sample = rescale(sample, resize(image, self._size, self._image_resize))
        if self._store:
            self._store.put(sample)
        return sample

    def _read_image(self, image_id: int) -> np.ndarray:
        path = self._dataset.path(image_id)
        image = read_image(path)
        height, width = self._dataset.size(image_id)
        if image.shape[:2] != (height, width):
            remedy = "Correct `height` and `width`, or use the file that was annotated"
            if image.shape[:2] == (width, height) and is_rotated_by_exif(path):
                remedy = (
                    "The file has an EXIF rotation, which was applied when it was annotated: "
                    "store it rotated (PIL.ImageOps.exif_transpose)"
                )
            raise ImageError(
                f"image {path} (id {image_id}) is {image.shape[0]} x {image.shape[1]} pixels "
                f"(height x width), its annotations say {height} x {width}. {remedy}"
            )
        return image

    def _read_objects(self, image_id: int, image: np.ndarray) -> Sample:
        boxes, classes, crowd, crops, mask_boxes, keypoints = [], [], [], [], [], []
        for annotation in self._dataset.annotations(image_id):
            is_crowd = bool(annotation.get("iscrowd", 0))
            crop, mask_box = None, (0, 0, 0, 0)
            if annotation.get("segmentation") and not is_crowd:
                found = self._decode(annotation, image.shape[:2])
                if found is None:
                    continue
                crop, mask_box = found
            if self._keypoint_names:
                joints = self._joints(annotation)
                if joints is None:
                    continue
                keypoints.append(joints)
            boxes.append(self._dataset.box(annotation))
            classes.append(self._dataset.class_of(annotation))
            crowd.append(is_crowd)
            crops.append(crop)
            mask_boxes.append(mask_box)
        sample = Sample(
            image=image,
            image_id=image_id,
            boxes=np.array(boxes, np.float32).reshape(-1, 4),
            classes=np.array(classes, np.int32),
            is_crowd=np.array(crowd, bool),
            crops=crops,
            mask_boxes=np.array(mask_boxes, np.float32).reshape(-1, 4),
        )
        names = self._keypoint_names
        if names:
            joints = np.array(keypoints, np.float32).reshape(-1, len(names), 3)
            sample = replace(sample, keypoints=joints, mirrored_joints=mirrored_order(names))
        return sample.take(_largest(sample, self._max_objects))

    def _decode(self, annotation: dict, size: tuple[int, int]):
        try:
            found = decode_crop(annotation["segmentation"], *size)
        except ValueError as error:
            return self._skip(annotation, MALFORMED_SEGMENTATION, error)
        if found is None:
            self._dataset.note_skipped(MASK_EMPTY, id(annotation), _name(annotation))
        return found

    def _joints(self, annotation: dict) -> np.ndarray | None:
        try:
            return read_keypoints(annotation, len(self._keypoint_names))
        except ValueError as error:
            return self._skip(annotation, MALFORMED_KEYPOINTS, error)

    def _skip(self, annotation: dict, reason: str, error: ValueError) -> None:
        """Raises for a faulty annotation, or counts it."""
        if self._dataset.on_error == "raise":
            raise ValueError(
                f"{self._dataset.annotation_file}: {_name(annotation)}: {error}. Correct it, or "
                "leave it out with on_error='skip'"
            ) from error
        detail = f"{_name(annotation)}: {error}"
        self._dataset.note_skipped(reason, id(annotation), detail)

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


def _name(annotation: dict) -> str:
    return f"annotation {annotation.get('id')} of image {annotation['image_id']}"


def resize(image: np.ndarray, size: tuple[int, int], method: str = "antialias") -> np.ndarray:
    """Resizes uint8 [H, W, 3] so that it fits (short side, long side), see `ops.resize_image`.

    The result is uint8 by all methods: samples are kept and batched in whole values.
    """
    if tuple(resized_shape(*image.shape[:2], *size, method)) == image.shape[:2]:
        return image
    with tf.device("/CPU:0"):
        resized = resize_image(image, *size, method).numpy()
    return resized if resized.dtype == np.uint8 else (resized + 0.5).astype(np.uint8)


def _largest(sample: Sample, count: int) -> np.ndarray:
    """Indices of the `count` objects to keep, in their order: no crowd first, then by box area."""
    if len(sample.classes) <= count:
        return np.arange(len(sample.classes))
    boxes = sample.boxes.astype(np.float64)
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return np.sort(np.lexsort((-area, sample.is_crowd))[:count])
