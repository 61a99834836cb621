"""Reading COCO's JSON files: one of instances, and one with the joints of some of them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

_CATEGORY_KEYS = ("keypoints", "skeleton")
_ANNOTATION_KEYS = ("keypoints", "num_keypoints")


def read_coco_file(path: Path) -> dict:
    """The content of a COCO annotation file with its three lists present.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not JSON, or lacks a list.
    """
    if not path.is_file():
        raise FileNotFoundError(f"annotation file {path} does not exist")
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"annotation file {path} is not valid JSON: {error}") from error
    for key in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise ValueError(
                f"annotation file {path} is not in COCO format: it has no list `{key}`"
            )
    return content


def merge_keypoints(content: dict, keypoint_content: dict) -> list[str]:
    """Gives the annotations and categories of one file the joints that another has for them.

    COCO's `instances_*.json` and `person_keypoints_*.json` describe the same objects under the
    same annotation ids.

    Args:
        content: of the file of instances, changed in place.
        keypoint_content: of the file with joints.

    Returns:
        The annotations with joints that have no counterpart of the same id, image and category.
    """
    categories = {category.get("id"): category for category in content["categories"]}
    for category in keypoint_content["categories"]:
        if category.get("id") in categories:
            _copy(category, categories[category["id"]], _CATEGORY_KEYS)
    annotations = {annotation.get("id"): annotation for annotation in content["annotations"]}
    alone = []
    for annotation in keypoint_content["annotations"]:
        if not annotation.get("keypoints"):
            continue
        found = annotations.get(annotation.get("id"), {})
        if all(found.get(key) == annotation.get(key) for key in ("image_id", "category_id")):
            _copy(annotation, found, _ANNOTATION_KEYS)
        elif annotation.get("num_keypoints", 1):
            alone.append(f"annotation {annotation.get('id')} (image {annotation.get('image_id')})")
    return alone


def keypoint_category(categories: Iterable[dict]) -> dict:
    """The first category with joints.

    Raises:
        ValueError: no category has joints, or two have other ones.
    """
    found = [category for category in categories if category.get("keypoints")]
    if not found or any(c["keypoints"] != found[0]["keypoints"] for c in found):
        problem = "other joints than another" if found else "joints"
        raise ValueError(
            f"{'a' if found else 'no'} category has {problem}: joints need one list of names, "
            "`keypoints`, in every category that has any; choose categories with category_ids"
        )
    return found[0]


def _copy(source: dict, target: dict, keys: tuple[str, ...]) -> None:
    target.update({key: source[key] for key in keys if key in source})
