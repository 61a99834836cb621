"""Reads one image of a CocoDataset and what is annotated in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from mrcnn_tf.data.coco_dataset import (
    MALFORMED_KEYPOINTS,
    MALFORMED_SEGMENTATION,
    MASK_EMPTY,
    CocoDataset,
)
from mrcnn_tf.data.image_files import ImageError, decode_image, is_rotated_by_exif, read_content
from mrcnn_tf.data.instance_masks import decode_crop
from mrcnn_tf.data.keypoints import mirrored_order, read_keypoints
from mrcnn_tf.data.sample import Sample

NoteSkipped = Callable[[str, object, str], None]


@dataclass(frozen=True)
class CocoEntry:
    """What the annotations say of one image: small, and free of the data set it came from.

    Attributes:
        image_id: the dataset's id.
        path: the image file.
        size: (height, width) in pixels.
        annotations: COCO dicts of the usable objects.
        boxes: float32 [N, 4], clipped to the image.
        classes: int32 [N].
    """

    image_id: int
    path: str
    size: tuple[int, int]
    annotations: list[dict]
    boxes: np.ndarray
    classes: np.ndarray

    @classmethod
    def of(cls, dataset: CocoDataset, image_id: int) -> CocoEntry:
        annotations = dataset.annotations(image_id)
        boxes = [dataset.box(annotation) for annotation in annotations]
        return cls(
            image_id=image_id,
            path=dataset.path(image_id),
            size=dataset.size(image_id),
            annotations=annotations,
            boxes=np.array(boxes, np.float32).reshape(-1, 4),
            classes=np.array([dataset.class_of(a) for a in annotations], np.int32),
        )


class CocoReader:
    """Samples at the size of the image file, with all objects that are usable.

    Args:
        annotation_file: for messages.
        keypoint_names: the joints to read, none if empty.
        on_error: `"raise"` or `"skip"`, what becomes of malformed segmentations and joints.
        note_skipped: called with (reason, key, detail) for an object that is left out; the key is
            the same whenever the object is read.
    """

    def __init__(
        self,
        annotation_file: object,
        keypoint_names: list[str],
        on_error: str,
        note_skipped: NoteSkipped,
    ):
        self._annotation_file = annotation_file
        self._keypoint_names = keypoint_names
        self._on_error = on_error
        self._note_skipped = note_skipped

    def read(self, entry: CocoEntry) -> Sample:
        """The sample of an image.

        Raises:
            ImageError: the image file cannot be used.
            ValueError: an object cannot be read, with `on_error="raise"`.
        """
        return self.decode(entry, read_content(entry.path))[0]

    def decode(self, entry: CocoEntry, content: bytes) -> tuple[Sample, list[int]]:
        """`read` from the content of the image file, and the positions of the objects kept."""
        image = decode_image(content, entry.path)
        _check_size(entry, image)
        kept, crops, mask_boxes, keypoints = [], [], [], []
        is_crowd = np.array([bool(a.get("iscrowd", 0)) for a in entry.annotations], bool)
        for position, annotation in enumerate(entry.annotations):
            crop, mask_box = None, (0, 0, 0, 0)
            if annotation.get("segmentation") and not is_crowd[position]:
                found = self._decode_mask(entry, position)
                if found is None:
                    continue
                crop, mask_box = found
            if self._keypoint_names:
                joints = self._joints(entry, position)
                if joints is None:
                    continue
                keypoints.append(joints)
            kept.append(position)
            crops.append(crop)
            mask_boxes.append(mask_box)
        sample = Sample(
            image=image,
            image_id=entry.image_id,
            boxes=entry.boxes[kept],
            classes=entry.classes[kept],
            is_crowd=is_crowd[kept],
            crops=crops,
            mask_boxes=np.array(mask_boxes, np.float32).reshape(-1, 4),
        )
        names = self._keypoint_names
        if names:
            joints = np.array(keypoints, np.float32).reshape(-1, len(names), 3)
            sample = replace(sample, keypoints=joints, mirrored_joints=mirrored_order(names))
        return sample, kept

    def _decode_mask(self, entry: CocoEntry, position: int):
        try:
            found = decode_crop(entry.annotations[position]["segmentation"], *entry.size)
        except ValueError as error:
            return self._fault(entry, position, MALFORMED_SEGMENTATION, error)
        if found is None:
            key = (entry.image_id, position)
            self._note_skipped(MASK_EMPTY, key, _name(entry, position))
        return found

    def _joints(self, entry: CocoEntry, position: int) -> np.ndarray | None:
        try:
            return read_keypoints(entry.annotations[position], len(self._keypoint_names))
        except ValueError as error:
            return self._fault(entry, position, MALFORMED_KEYPOINTS, error)

    def _fault(self, entry: CocoEntry, position: int, reason: str, error: ValueError) -> None:
        """Raises for a faulty annotation, or counts it."""
        detail = f"{_name(entry, position)}: {error}"
        if self._on_error == "raise":
            raise ValueError(
                f"{self._annotation_file}: {detail}. Correct it, or leave it out with "
                "on_error='skip'"
            ) from error
        self._note_skipped(reason, (entry.image_id, position), detail)


def _check_size(entry: CocoEntry, image: np.ndarray) -> None:
    height, width = entry.size
    if image.shape[:2] == (height, width):
        return
    remedy = "Correct `height` and `width`, or use the file that was annotated"
    if image.shape[:2] == (width, height) and is_rotated_by_exif(entry.path):
        remedy = (
            "The file has an EXIF rotation, which was applied when it was annotated: "
            "store it rotated (PIL.ImageOps.exif_transpose)"
        )
    raise ImageError(
        f"image {entry.path} (id {entry.image_id}) is {image.shape[0]} x {image.shape[1]} pixels "
        f"(height x width), its annotations say {height} x {width}. {remedy}"
    )


def _name(entry: CocoEntry, position: int) -> str:
    return f"annotation {entry.annotations[position].get('id')} of image {entry.image_id}"
