"""A COCO annotation file and its images: classes and the annotations that can be used."""

from __future__ import annotations

import contextlib
import io
import os
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path

import numpy as np

from mrcnn_tf.data.coco_checks import (
    LISTED,
    OR_SKIP,
    boxes_inside,
    chosen_categories,
    chosen_images,
    first_images,
    fitting_annotations,
)
from mrcnn_tf.data.coco_file import keypoint_category
from mrcnn_tf.data.coco_index import CocoIndex, match_joints
from mrcnn_tf.data.image_files import image_size

MALFORMED_KEYPOINTS = "annotation with malformed keypoints"
MALFORMED_SEGMENTATION = "annotation with a malformed segmentation"
KEYPOINTS_ALONE = "joints of an object that is not there"
MISSING_IMAGE = "image file missing"
UNUSABLE_IMAGE = "image file unusable"
MASK_EMPTY = "mask without pixels"


class CocoDataset:
    """A COCO annotation file and its images, checked, with contiguous classes.

    Classes are the categories sorted by id, numbered 0 to K - 1. Annotations of what is a matter
    of geometry (a box outside the image, or without area) are always left out and counted in
    `skipped`, and boxes are clipped to the image, as torchvision and Detectron2 do. What is a
    fault of the data (an image file that is missing, an annotation of an unknown image or
    category, a repeated id) is an error, or with `on_error="skip"` left out and counted.

    Annotations are read from the file when they are asked for. A file of 32 MB or more is indexed
    on first use, and the index is stored beside it (see `mrcnn_tf.data.coco_index.CocoIndex`).

    Args:
        images: folder that the `file_name`s of the annotations refer to.
        annotations: COCO annotation file.
        category_ids: the dataset's category ids in the order of the classes. Default: all
            categories of the file, sorted. Annotations of other categories of the file are left
            out. Give the ids of a model (`model.category_ids`) to read data for that model.
        image_ids: the images to use: a list of ids (kept in that order), or n for the first n of
            the sorted ids. Default: all, sorted by id.
        on_error: `"raise"` or `"skip"`.
        keypoint_annotations: a second annotation file, from which objects of the same annotation
            id get their joints: COCO's `person_keypoints_*.json` to its `instances_*.json`.

    Attributes:
        category_ids: list of int, the dataset's id of each class.
        class_names: list of str.
        num_classes: number of classes, background not counted.
        image_ids: list of int.
        skipped: dict of reason to number of things left out. Faults that show only when an image
            or a mask is read are added then.

    Raises:
        FileNotFoundError: the annotation file, the image folder or images are missing.
        ValueError: the annotations do not parse, have no category, or hold faulty entries.

    Example:

    >>> dataset = CocoDataset("coco/val2017", "coco/annotations/instances_val2017.json")
    >>> len(dataset), dataset.num_classes, dataset.class_names[0]
    (5000, 80, 'person')
    """

    def __init__(
        self,
        images: str | os.PathLike,
        annotations: str | os.PathLike,
        *,
        category_ids: Sequence[int] | None = None,
        image_ids: Sequence[int] | int | None = None,
        on_error: str = "raise",
        keypoint_annotations: str | os.PathLike | None = None,
    ):
        if on_error not in ("raise", "skip"):
            raise ValueError(f"on_error must be 'raise' or 'skip', got {on_error!r}")
        self.images_folder = Path(images)
        self.annotation_file = Path(annotations)
        self.keypoint_file = Path(keypoint_annotations) if keypoint_annotations else None
        self.on_error = on_error
        self.skipped: Counter[str] = Counter()
        self._noted: set[tuple[str, Hashable]] = set()
        self._lock = threading.Lock()
        self._coco = None

        self._index = CocoIndex(self.annotation_file)
        self._joints: CocoIndex | None = None
        if self.keypoint_file:
            self._read_joints(CocoIndex(self.keypoint_file))
        self.category_ids, self.class_names = chosen_categories(self._index, category_ids)
        self._class_of = {category: index for index, category in enumerate(self.category_ids)}
        self._read_images(image_ids)
        self._check_files()
        self._image_sizes = np.array(self._index.image_sizes)
        self._read_annotations()
        self._warn_of_skipped()

    @property
    def num_classes(self) -> int:
        return len(self.category_ids)

    @property
    def keypoint_names(self) -> list[str]:
        """Names of the joints of the classes that have any, in the order of the annotations.

        Raises:
            ValueError: no class has joints, or two have other ones.
        """
        return [str(name) for name in self._keypoint_category()["keypoints"]]

    @property
    def keypoint_skeleton(self) -> list[tuple[int, int]]:
        """Pairs of joints, counted from 0, between which a limb is drawn (COCO's start at 1).

        Raises:
            ValueError: no class has joints, or a limb ends at a joint that there is not.
        """
        category = self._keypoint_category()
        pairs = [(int(a) - 1, int(b) - 1) for a, b in category.get("skeleton") or ()]
        if not all(0 <= joint < len(category["keypoints"]) for pair in pairs for joint in pair):
            raise ValueError(
                f"{self.annotation_file}: `skeleton` of category {category['id']} must hold pairs "
                f"of joints from 1 to {len(category['keypoints'])}"
            )
        return pairs

    @property
    def keypoint_classes(self) -> list[int]:
        """The classes, 0 to K - 1, that have joints."""
        return sorted(
            self._class_of[c["id"]] for c in self._used_categories() if c.get("keypoints")
        )

    def __len__(self) -> int:
        return len(self.image_ids)

    def path(self, image_id: int) -> str:
        """Path of an image file."""
        return str(self.images_folder / self._index.name(self._image(image_id)))

    def size(self, image_id: int) -> tuple[int, int]:
        """(height, width) of an image in pixels, as the annotations state it."""
        size = self._image_sizes[self._image(image_id)]
        if size.min() < 0:
            size[:] = image_size(self.path(image_id))
        height, width = size.tolist()
        return height, width

    def annotations(self, image_id: int) -> list[dict]:
        """The usable annotations of an image, new COCO dicts in the order of the file."""
        image = self._image(image_id)
        usable = self._usable[self._starts[image] : self._starts[image + 1]]
        return [self._annotation(annotation) for annotation in usable.tolist()]

    def object_counts(self, crowds: bool = True) -> np.ndarray:
        """How many usable annotations each image has.

        Args:
            crowds: whether crowds count.

        Returns:
            int64 [N], in the order of `image_ids`.
        """
        before = np.arange(len(self._usable) + 1)
        if not crowds:
            before = np.append(0, np.cumsum(self._index.is_crowd[self._usable] == 0))
        return np.diff(before[self._starts])[self._images(self.image_ids)]

    def class_of(self, annotation: dict) -> int:
        """Class (0 to K - 1) of an annotation."""
        return self._class_of[annotation["category_id"]]

    def box(self, annotation: dict) -> tuple[float, float, float, float]:
        """(x1, y1, x2, y2) of an annotation, clipped to its image, pixels of the original."""
        x, y, width, height = annotation["bbox"]
        image_height, image_width = self.size(annotation["image_id"])
        return (
            max(x, 0.0),
            max(y, 0.0),
            min(x + width, image_width),
            min(y + height, image_height),
        )

    @property
    def coco(self):
        """The whole file as `pycocotools.coco.COCO`, built on first use and without printing.

        Nothing is left out of it. Annotations without `iscrowd` or `area`, which COCO's evaluation
        needs, are given 0 and the area of the box.
        """
        if self._coco is None:
            from pycocotools.coco import COCO

            index, coco = self._index, COCO()
            annotations = [self._annotation(number) for number in range(len(index.ids))]
            sides = np.nan_to_num(index.boxes[:, 2:])
            for annotation, area in zip(annotations, sides.prod(axis=1).tolist(), strict=True):
                annotation.setdefault("iscrowd", 0)
                annotation.setdefault("area", area)
            images = [index.image(number) for number in range(len(index.image_ids))]
            for image, (height, width) in zip(images, self._image_sizes.tolist(), strict=True):
                if height >= 0 and width >= 0:  # found in the image file where it was not given
                    image.update(height=height, width=width)
            coco.dataset = {
                **index.others(),
                "images": images,
                "annotations": annotations,
                "categories": index.categories,
            }
            with contextlib.redirect_stdout(io.StringIO()):
                coco.createIndex()
            self._coco = coco
        return self._coco

    def note_skipped(self, reason: str, key: Hashable, detail: str) -> None:
        """Counts something found unusable while reading, once for each (reason, key).

        The first of each reason is named in a warning.
        """
        with self._lock:
            if (reason, key) in self._noted:
                return
            self._noted.add((reason, key))
            self.skipped[reason] += 1
            first = self.skipped[reason] == 1
        if first or reason == UNUSABLE_IMAGE:
            warnings.warn(f"{self.annotation_file}: skipped: {reason}: {detail}", stacklevel=2)

    def _used_categories(self) -> list[dict]:
        return [c for c in self._index.categories if c["id"] in self._class_of]

    def _keypoint_category(self) -> dict:
        try:
            return keypoint_category(self._used_categories())
        except ValueError as error:
            raise ValueError(f"{self.annotation_file}: {error}") from None

    def _image(self, image_id: int) -> int:
        """The place of an image in the file."""
        place = int(np.searchsorted(self._sorted_ids, image_id))
        if place == len(self._sorted_ids) or self._sorted_ids[place] != image_id:
            raise KeyError(f"{self.annotation_file} has no image with id {image_id}")
        return int(self._sorted_images[place])

    def _images(self, image_ids: Sequence[int]) -> np.ndarray:
        """`_image` for many ids that there are."""
        return self._sorted_images[np.searchsorted(self._sorted_ids, image_ids)]

    def _annotation(self, number: int) -> dict:
        annotation = self._index.annotation(number)
        if self._joints is not None and (partner := self._joints_of[number]) >= 0:
            _copy(self._joints.annotation(partner), annotation, ("keypoints", "num_keypoints"))
        return annotation

    def _faults(
        self,
        reason: str,
        found: Sequence,
        describe: Callable[..., str],
        error: type[Exception],
        remedy: str,
    ) -> None:
        """Raises on the first few faults of a kind, or counts them all."""
        if not len(found):
            return
        if self.on_error == "skip":
            self.skipped[reason] += len(found)
            return
        listed = ", ".join(map(describe, found[:LISTED])) + (", ..." * (len(found) > LISTED))
        raise error(f"{self.annotation_file}: {reason} ({len(found)} in all): {listed}. {remedy}")

    def _read_joints(self, joints: CocoIndex) -> None:
        self._joints = joints
        self._joints_of, alone = match_joints(self._index, joints)
        own = {category.get("id"): category for category in self._index.categories}
        for category in joints.categories:
            if category.get("id") in own:
                _copy(category, own[category["id"]], ("keypoints", "skeleton"))

        def describe(number: int) -> str:
            annotation = joints.annotation(number)
            return f"annotation {annotation.get('id')} (image {annotation.get('image_id')})"

        remedy = f"Is {joints.path} of the same images? Give the matching file, {OR_SKIP}"
        self._faults(KEYPOINTS_ALONE, alone, describe, ValueError, remedy)

    def _read_images(self, wanted: Sequence[int] | int | None) -> None:
        known, first = first_images(self._index, self._faults)
        self._sorted_ids, self._sorted_images = known, first
        self.image_ids = chosen_images(self.annotation_file, known.tolist(), wanted)
        self._keep_images()

    def _keep_images(self) -> None:
        """Narrows the look-up to `image_ids`."""
        images = self._images(sorted(self.image_ids))
        self._sorted_ids, self._sorted_images = self._index.image_ids[images], images

    def _check_files(self) -> None:
        if not self.images_folder.is_dir():
            raise FileNotFoundError(f"image folder {self.images_folder} does not exist")
        # one listing instead of a look-up a file: the difference is minutes on network drives
        present = set(os.listdir(self.images_folder))
        missing = [
            image_id
            for image_id, image in zip(self.image_ids, self._images(self.image_ids), strict=True)
            if self._index.name(image) not in present and not os.path.isfile(self.path(image_id))
        ]
        if not missing:
            return
        self._faults(
            MISSING_IMAGE,
            missing,
            self.path,
            FileNotFoundError,
            "Give the folder that holds the images, or leave the missing ones out with "
            "on_error='skip'",
        )
        without = set(missing)
        self.image_ids = [image_id for image_id in self.image_ids if image_id not in without]
        if not self.image_ids:
            raise FileNotFoundError(
                f"none of the images of {self.annotation_file} is in {self.images_folder}"
            )
        self._keep_images()

    def _read_annotations(self) -> None:
        """Finds the annotations that can be used, by image, and where those of each image start."""
        index = self._index
        usable = fitting_annotations(index, self._sorted_ids, self.category_ids, self._faults)
        images = self._images(index.image_of[usable])
        for image in np.unique(images[self._image_sizes[images].min(axis=1, initial=0) < 0]):
            self.size(int(index.image_ids[image]))
        inside, counts = boxes_inside(index.boxes[usable], self._image_sizes[images])
        self.skipped.update(counts)
        usable, images = usable[inside], images[inside]
        objects = np.bincount(images, minlength=len(index.image_ids))
        self._starts = np.append(0, np.cumsum(objects))
        self._usable = usable[np.argsort(images, kind="stable")]

    def _warn_of_skipped(self) -> None:
        if self.skipped:
            counts = ", ".join(f"{reason}: {n}" for reason, n in sorted(self.skipped.items()))
            warnings.warn(f"{self.annotation_file}: skipped {counts}", stacklevel=3)


def _copy(source: dict, target: dict, keys: tuple[str, ...]) -> None:
    target.update({key: source[key] for key in keys if key in source})
