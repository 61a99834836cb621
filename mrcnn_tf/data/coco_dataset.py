"""The index of a COCO annotation file: images, classes and the annotations that can be used."""

from __future__ import annotations

import contextlib
import io
import math
import os
import threading
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from mrcnn_tf.data.coco_file import keypoint_category, merge_keypoints, read_coco_file
from mrcnn_tf.data.image_files import image_size

UNKNOWN_IMAGE = "annotation of an unknown image"
UNKNOWN_CATEGORY = "annotation of an unknown category"
DUPLICATE_ANNOTATION = "annotation with an id used before"
MALFORMED_BOX = "annotation with a malformed box"
MALFORMED_KEYPOINTS = "annotation with malformed keypoints"
MALFORMED_SEGMENTATION = "annotation with a malformed segmentation"
KEYPOINTS_ALONE = "joints of an object that is not there"
DUPLICATE_IMAGE = "image with an id used before"
MISSING_IMAGE = "image file missing"
UNUSABLE_IMAGE = "image file unusable"
BOX_OUTSIDE = "box outside the image"
BOX_EMPTY = "box without area"
MASK_EMPTY = "mask without pixels"

_LISTED = 5  # how many offenders an error names


class CocoDataset:
    """A COCO annotation file and its images, checked, with contiguous classes.

    Classes are the categories sorted by id, numbered 0 to K - 1. Annotations of what is a matter
    of geometry (a box outside the image, or without area) are always left out and counted in
    `skipped`, and boxes are clipped to the image, as torchvision and Detectron2 do. What is a
    fault of the data (an image file that is missing, an annotation of an unknown image or
    category, a repeated id) is an error, or with `on_error="skip"` left out and counted.

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
        self._noted: set[tuple[str, int]] = set()
        self._lock = threading.Lock()
        self._coco = None

        self._content = read_coco_file(self.annotation_file)
        if self.keypoint_file:
            alone = merge_keypoints(self._content, read_coco_file(self.keypoint_file))
            self._faults(KEYPOINTS_ALONE, alone, ValueError, self._remedy_alone())
        self.category_ids, self.class_names = self._read_categories(category_ids)
        self._class_of = {category: index for index, category in enumerate(self.category_ids)}
        self._images = self._read_images()
        self.image_ids = self._choose_images(image_ids)
        self._images = {image_id: self._images[image_id] for image_id in self.image_ids}
        self._check_files()
        self._annotations = self._read_annotations()
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
        return str(self.images_folder / self._image(image_id)["file_name"])

    def size(self, image_id: int) -> tuple[int, int]:
        """(height, width) of an image in pixels, as the annotations state it."""
        image = self._image(image_id)
        if "height" not in image or "width" not in image:
            image["height"], image["width"] = image_size(self.path(image_id))
        return int(image["height"]), int(image["width"])

    def annotations(self, image_id: int) -> list[dict]:
        """The usable annotations of an image, COCO dicts in the order of the file."""
        self._image(image_id)
        return self._annotations.get(image_id, [])

    def object_counts(self, crowds: bool = True) -> np.ndarray:
        """How many usable annotations each image has.

        Args:
            crowds: whether crowds count.

        Returns:
            int64 [N], in the order of `image_ids`.
        """
        found = (self.annotations(image_id) for image_id in self.image_ids)
        counts = (sum(crowds or not a.get("iscrowd", 0) for a in each) for each in found)
        return np.fromiter(counts, np.int64, len(self.image_ids))

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

            coco = COCO()
            coco.dataset = self._content
            for annotation in self._content["annotations"]:
                annotation.setdefault("iscrowd", 0)
                if "area" not in annotation and "bbox" in annotation:
                    annotation["area"] = annotation["bbox"][2] * annotation["bbox"][3]
            with contextlib.redirect_stdout(io.StringIO()):
                coco.createIndex()
            self._coco = coco
        return self._coco

    def note_skipped(self, reason: str, key: int, detail: str) -> None:
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
        return [c for c in self._content["categories"] if c["id"] in self._class_of]

    def _keypoint_category(self) -> dict:
        try:
            return keypoint_category(self._used_categories())
        except ValueError as error:
            raise ValueError(f"{self.annotation_file}: {error}") from None

    def _remedy_alone(self) -> str:
        return f"Is {self.keypoint_file} of the same images? Give the matching file, {_OR_SKIP}"

    def _image(self, image_id: int) -> dict:
        try:
            return self._images[image_id]
        except KeyError:
            raise KeyError(f"{self.annotation_file} has no image with id {image_id}") from None

    def _faults(self, reason: str, found: Iterable[str], error: type[Exception], remedy: str):
        """Raises on the first few faults of a kind, or counts them all."""
        found = list(found)
        if not found:
            return
        if self.on_error == "skip":
            self.skipped[reason] += len(found)
            return
        listed = ", ".join(found[:_LISTED]) + (", ..." if len(found) > _LISTED else "")
        raise error(f"{self.annotation_file}: {reason} ({len(found)} in all): {listed}. {remedy}")

    def _read_categories(self, wanted: Sequence[int] | None) -> tuple[list[int], list[str]]:
        names: dict[int, str] = {}
        for category in self._content["categories"]:
            if "id" not in category:
                raise ValueError(f"{self.annotation_file}: category {category} has no id")
            if category["id"] in names:
                raise ValueError(
                    f"{self.annotation_file}: category id {category['id']} is used twice"
                )
            names[category["id"]] = str(category.get("name", category["id"]))
        if not names:
            raise ValueError(
                f"{self.annotation_file} has no categories; the `categories` list must name every "
                'class, e.g. [{"id": 1, "name": "cell"}]'
            )
        self._known_categories = set(names)
        ids = sorted(names) if wanted is None else [int(c) for c in wanted]
        unknown = [c for c in ids if c not in names]
        if unknown or not ids or len(set(ids)) < len(ids):
            raise ValueError(
                f"category_ids must be different ids out of {sorted(names)} "
                f"({self.annotation_file}), got {ids}"
            )
        return ids, [names[c] for c in ids]

    def _read_images(self) -> dict[int, dict]:
        images: dict[int, dict] = {}
        repeated = []
        for image in self._content["images"]:
            image_id, name = image.get("id"), image.get("file_name")
            if not isinstance(image_id, int) or not isinstance(name, str):
                raise ValueError(
                    f"{self.annotation_file}: every image needs an integer `id` and a `file_name`, "
                    f"got id {image_id!r}, file_name {name!r}"
                )
            if image_id in images:
                repeated.append(f"{image_id} ({name})")
            else:
                images[image_id] = image
        self._faults(DUPLICATE_IMAGE, repeated, ValueError, _REMEDY_DUPLICATES)
        if not images:
            raise ValueError(f"{self.annotation_file} lists no images")
        return images

    def _choose_images(self, wanted: Sequence[int] | int | None) -> list[int]:
        known = sorted(self._images)
        if wanted is None:
            return known
        if isinstance(wanted, int):
            if wanted < 1:
                raise ValueError(f"image_ids must be at least 1 image, got {wanted}")
            return known[:wanted]
        chosen = [int(image_id) for image_id in wanted]
        unknown = [image_id for image_id in chosen if image_id not in self._images]
        if unknown:
            raise ValueError(
                f"image_ids {unknown[:_LISTED]} ({len(unknown)} in all) are not in "
                f"{self.annotation_file}"
            )
        if not chosen or len(set(chosen)) < len(chosen):
            raise ValueError("image_ids must be at least one id, each given once")
        return chosen

    def _check_files(self) -> None:
        if not self.images_folder.is_dir():
            raise FileNotFoundError(f"image folder {self.images_folder} does not exist")
        # one listing instead of a look-up a file: the difference is minutes on network drives
        present = set(os.listdir(self.images_folder))
        missing = [
            image_id
            for image_id, image in self._images.items()
            if image["file_name"] not in present and not os.path.isfile(self.path(image_id))
        ]
        self._faults(
            MISSING_IMAGE,
            (self.path(image_id) for image_id in missing),
            FileNotFoundError,
            "Give the folder that holds the images, or leave the missing ones out with "
            "on_error='skip'",
        )
        for image_id in missing:
            del self._images[image_id]
        self.image_ids = [image_id for image_id in self.image_ids if image_id in self._images]
        if not self.image_ids:
            raise FileNotFoundError(
                f"none of the images of {self.annotation_file} is in {self.images_folder}"
            )

    def _read_annotations(self) -> dict[int, list[dict]]:
        every_image = {image["id"] for image in self._content["images"]}
        usable: dict[int, list[dict]] = {}
        seen: set = set()
        faults: dict[str, list[str]] = {reason: [] for reason in _ANNOTATION_REMEDIES}
        for position, annotation in enumerate(self._content["annotations"]):
            annotation_id = annotation.get("id")
            name = f"annotation {annotation_id if annotation_id is not None else f'#{position}'}"
            image_id, category = annotation.get("image_id"), annotation.get("category_id")
            if image_id not in every_image:
                faults[UNKNOWN_IMAGE].append(f"{name} (image {image_id})")
            elif category not in self._known_categories:
                faults[UNKNOWN_CATEGORY].append(f"{name} (category {category})")
            elif annotation_id is not None and annotation_id in seen:
                faults[DUPLICATE_ANNOTATION].append(f"{name} (image {image_id})")
            elif image_id in self._images and category in self._class_of:
                if not _is_box(annotation.get("bbox")):
                    faults[MALFORMED_BOX].append(f"{name} (image {image_id})")
                elif reason := self._no_box_inside(annotation):
                    self.skipped[reason] += 1
                else:
                    usable.setdefault(image_id, []).append(annotation)
            seen.add(annotation_id)
        for reason, found in faults.items():
            self._faults(reason, found, ValueError, _ANNOTATION_REMEDIES[reason])
        return usable

    def _no_box_inside(self, annotation: dict) -> str | None:
        _, _, width, height = annotation["bbox"]
        if width <= 0 or height <= 0:
            return BOX_EMPTY
        x1, y1, x2, y2 = self.box(annotation)
        return None if x2 > x1 and y2 > y1 else BOX_OUTSIDE

    def _warn_of_skipped(self) -> None:
        if self.skipped:
            counts = ", ".join(f"{reason}: {n}" for reason, n in sorted(self.skipped.items()))
            warnings.warn(f"{self.annotation_file}: skipped {counts}", stacklevel=3)


_OR_SKIP = "or leave them out with on_error='skip'"
_REMEDY_DUPLICATES = f"Give every one its own id, {_OR_SKIP}, which keeps the first with each id"
_ANNOTATION_REMEDIES = {
    UNKNOWN_IMAGE: f"Add the images, {_OR_SKIP}",
    UNKNOWN_CATEGORY: f"Add them to `categories`, {_OR_SKIP}",
    DUPLICATE_ANNOTATION: _REMEDY_DUPLICATES,
    MALFORMED_BOX: f"`bbox` must be four finite numbers [x, y, width, height]; correct it, "
    f"{_OR_SKIP}",
}


def _is_box(box: object) -> bool:
    return (
        isinstance(box, list)
        and len(box) == 4
        and all(isinstance(value, int | float) and math.isfinite(value) for value in box)
    )
