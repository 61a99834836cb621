"""What of a COCO annotation file can be used: its categories, images and annotations."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import numpy as np

from mrcnn_tf.data.coco_index import MISSING, CocoIndex, id_number

UNKNOWN_IMAGE = "annotation of an unknown image"
UNKNOWN_CATEGORY = "annotation of an unknown category"
DUPLICATE_ANNOTATION = "annotation with an id used before"
MALFORMED_BOX = "annotation with a malformed box"
DUPLICATE_IMAGE = "image with an id used before"
BOX_OUTSIDE = "box outside the image"
BOX_EMPTY = "box without area"

LISTED = 5  # how many offenders an error names
OR_SKIP = "or leave them out with on_error='skip'"

_REMEDY_DUPLICATES = f"Give every one its own id, {OR_SKIP}, which keeps the first with each id"
_ANNOTATION_REMEDIES = {
    UNKNOWN_IMAGE: f"Add the images, {OR_SKIP}",
    UNKNOWN_CATEGORY: f"Add them to `categories`, {OR_SKIP}",
    DUPLICATE_ANNOTATION: _REMEDY_DUPLICATES,
    MALFORMED_BOX: f"`bbox` must be four finite numbers [x, y, width, height]; correct it, "
    f"{OR_SKIP}",
}

# reason, entries of a kind of fault, how one is named, error, remedy
Report = Callable[[str, Sequence, Callable[..., str], type[Exception], str], None]


def chosen_categories(
    index: CocoIndex, wanted: Sequence[int] | None
) -> tuple[list[int], list[str]]:
    """Ids and names of the classes: the wanted categories, or all of the file by id."""
    names: dict[int, str] = {}
    for category in index.categories:
        if "id" not in category:
            raise ValueError(f"{index.path}: category {category} has no id")
        if category["id"] in names:
            raise ValueError(f"{index.path}: category id {category['id']} is used twice")
        names[category["id"]] = str(category.get("name", category["id"]))
    if not names:
        raise ValueError(
            f"{index.path} has no categories; the `categories` list must name every "
            'class, e.g. [{"id": 1, "name": "cell"}]'
        )
    ids = sorted(names) if wanted is None else [int(c) for c in wanted]
    unknown = [c for c in ids if c not in names]
    if unknown or not ids or len(set(ids)) < len(ids):
        raise ValueError(
            f"category_ids must be different ids out of {sorted(names)} ({index.path}), got {ids}"
        )
    return ids, [names[c] for c in ids]


def first_images(index: CocoIndex, report: Report) -> tuple[np.ndarray, np.ndarray]:
    """The ids of the images, sorted, and the place in the file of the first with each."""
    ids, first = np.unique(index.image_ids, return_index=True)
    report(
        DUPLICATE_IMAGE,
        np.setdiff1d(np.arange(len(index.image_ids)), first),
        lambda image: f"{index.image_ids[image]} ({index.name(image)})",
        ValueError,
        _REMEDY_DUPLICATES,
    )
    if not len(ids):
        raise ValueError(f"{index.path} lists no images")
    return ids, first


def chosen_images(
    path: str | os.PathLike, known: list[int], wanted: Sequence[int] | int | None
) -> list[int]:
    """The wanted image ids, or the first n of the known, or all."""
    if wanted is None:
        return known
    if isinstance(wanted, int):
        if wanted < 1:
            raise ValueError(f"image_ids must be at least 1 image, got {wanted}")
        return known[:wanted]
    chosen, there = [int(image_id) for image_id in wanted], set(known)
    unknown = [image_id for image_id in chosen if image_id not in there]
    if unknown:
        raise ValueError(f"image_ids {unknown[:LISTED]} ({len(unknown)} in all) are not in {path}")
    if not chosen or len(set(chosen)) < len(chosen):
        raise ValueError("image_ids must be at least one id, each given once")
    return chosen


def fitting_annotations(
    index: CocoIndex, image_ids: np.ndarray, category_ids: Sequence[int], report: Report
) -> np.ndarray:
    """The annotations of some images and categories that are no fault, by place in the file.

    Of the faults, those of boxes are looked for in these annotations only, the others in all.
    """
    known_categories = [id_number(category["id"]) for category in index.categories]
    is_repeated = index.ids != MISSING
    is_repeated[np.unique(index.ids, return_index=True)[1]] = False
    wanted = np.isin(index.image_of, image_ids)
    wanted &= np.isin(index.category_of, [id_number(category) for category in category_ids])
    faults = {
        UNKNOWN_IMAGE: ~np.isin(index.image_of, index.image_ids),
        UNKNOWN_CATEGORY: ~np.isin(index.category_of, known_categories),
        DUPLICATE_ANNOTATION: is_repeated,
        MALFORMED_BOX: wanted & np.isnan(index.boxes[:, 0]),
    }
    faulty = np.zeros(len(index.ids), bool)
    for reason, found in faults.items():
        report(
            reason,
            np.flatnonzero(found & ~faulty),
            lambda number, reason=reason: _describe(index, number, reason),
            ValueError,
            _ANNOTATION_REMEDIES[reason],
        )
        faulty |= found
    return np.flatnonzero(wanted & ~faulty)


def boxes_inside(boxes: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, dict[str, int]]:
    """Which boxes have an area inside their images, and how many have not, by reason.

    Args:
        boxes: float [A, 4], x, y, width, height.
        sizes: int [A, 2], height and width of the image of each.
    """
    corners, sides = boxes[:, :2], boxes[:, 2:]
    empty = (sides <= 0).any(axis=1)
    clipped = np.minimum(corners + sides, sizes[:, ::-1]) - np.maximum(corners, 0)
    outside = ~empty & (clipped <= 0).any(axis=1)
    counts = {BOX_OUTSIDE: int(outside.sum()), BOX_EMPTY: int(empty.sum())}
    return ~empty & ~outside, {reason: count for reason, count in counts.items() if count}


def _describe(index: CocoIndex, number: int, reason: str) -> str:
    annotation = index.annotation(number)
    annotation_id = annotation.get("id")
    name = f"annotation {annotation_id if annotation_id is not None else f'#{number}'}"
    if reason == UNKNOWN_CATEGORY:
        return f"{name} (category {annotation.get('category_id')})"
    return f"{name} (image {annotation.get('image_id')})"
