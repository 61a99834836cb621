"""A generated data set of the size of COCO's, to measure what grows with the number of images."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
from PIL import Image

# of COCO's instances_train2017.json
NUM_IMAGES, NUM_OBJECTS, NUM_CROWDS, NUM_CATEGORIES = 118_287, 860_001, 10_000, 80

_WIDTH, _HEIGHT = 640, 480
_DRAWINGS = 5_000  # different polygons, which objects share
_LINKS = 50_000  # of one file; file systems have limits
_JOINTS = 17


def write_coco_sized(
    folder: str | os.PathLike,
    num_images: int = NUM_IMAGES,
    num_objects: int = NUM_OBJECTS,
    num_crowds: int = NUM_CROWDS,
    seed: int = 0,
) -> tuple[Path, Path, Path]:
    """Writes images, and annotation files of as many and as long entries as COCO's.

    Polygons have 26 points in the mean, crowds have run lengths of some hundred numbers. A third of
    the objects are of the first category and have joints in a file of their own. All images are
    links to a few of one colour. Takes some seconds and 0.7 GB for the size of COCO.

    Returns:
        The folder of the images, the annotation file, and the file of joints.

    Example:

    >>> images, annotations, joints = write_coco_sized("scratch", 100, 700, 10)
    """
    if num_images < 1 or not 0 <= num_crowds <= num_objects:
        raise ValueError("there must be an image, and no more crowds than objects")
    folder = Path(folder)
    images, annotations = folder / "images", folder / "annotations" / "instances_train.json"
    joints = annotations.with_name("person_keypoints_train.json")
    for path in (images, annotations.parent):
        path.mkdir(parents=True, exist_ok=True)
    _write_images(images, num_images)
    rng = np.random.default_rng(seed)
    drawings = [_polygon(rng) for _ in range(_DRAWINGS)]
    crowds = [_run_lengths(rng) for _ in range(min(num_crowds, 100))]
    entries = [
        f'{{"license": 3,"file_name": "{_name(i)}","coco_url": "http://images.example/{_name(i)}",'
        f'"height": {_HEIGHT},"width": {_WIDTH},"date_captured": "2013-11-14 11:18:45","id": {i}}}'
        for i in range(1, num_images + 1)
    ]
    image_of = rng.integers(1, num_images + 1, num_objects).tolist()
    category_of = rng.integers(2, NUM_CATEGORIES + 1, num_objects).tolist()
    is_person = (rng.random(num_objects) < 1 / 3).tolist()
    drawing_of = rng.integers(0, _DRAWINGS, num_objects).tolist()
    names = [{"id": i, "name": f"category {i}"} for i in range(1, NUM_CATEGORIES + 1)]
    person = {**names[0], "keypoints": [f"joint {i}" for i in range(_JOINTS)], "skeleton": [[1, 2]]}
    with open(annotations, "w") as file, open(joints, "w") as joints_file:
        for each in (file, joints_file):
            each.write('{"info": {"description": "generated"},"images": [')
            each.write(", ".join(entries) + '],"annotations": [')
        between = between_joints = ""
        for number in range(num_objects):
            shape = drawings[drawing_of[number]]
            if number < num_crowds:
                shape = crowds[number % len(crowds)]
            category = 1 if is_person[number] else category_of[number]
            rest = f'"image_id": {image_of[number]},"category_id": {category},"id": {number + 1}}}'
            file.write(f'{between}{{"segmentation": {shape},{rest}')
            between = ", "
            if is_person[number]:
                points = ",".join(f"{(number + i) % _HEIGHT},{i},2" for i in range(_JOINTS))
                joints_file.write(
                    f'{between_joints}{{"keypoints": [{points}],"num_keypoints": {_JOINTS},'
                    f'"segmentation": {shape},{rest}'
                )
                between_joints = ", "
        file.write(f'],"categories": {json.dumps(names)}}}')
        joints_file.write(f'],"categories": {json.dumps([person])}}}')
    return images, annotations, joints


def _name(image_id: int) -> str:
    return f"{image_id:012d}.jpg"


def _write_images(folder: Path, count: int) -> None:
    present = set(os.listdir(folder))
    source = None
    for image_id in range(1, count + 1):
        path = folder / _name(image_id)
        if source is None or image_id % _LINKS == 0:
            path.unlink(missing_ok=True)
            Image.new("RGB", (_WIDTH, _HEIGHT), (90, 120, 60)).save(path)
            source = path
        elif path.name not in present:
            os.link(source, path)


def _polygon(rng: np.random.Generator) -> str:
    """Segmentation, area, crowd flag and box of a random object, as in an annotation."""
    count = int(np.clip(rng.lognormal(3.0, 0.7), 4, 300))
    radius = rng.uniform(8, 120) * rng.uniform(0.6, 1, count)
    angle = np.sort(rng.uniform(0, 2 * np.pi, count))
    x = np.clip(rng.uniform(0, _WIDTH) + radius * np.cos(angle), 0, _WIDTH - 1).round(2)
    y = np.clip(rng.uniform(0, _HEIGHT) + radius * np.sin(angle), 0, _HEIGHT - 1).round(2)
    box = [x.min(), y.min(), max(np.ptp(x), 1), max(np.ptp(y), 1)]
    points = np.stack([x, y], axis=-1).ravel().tolist()
    box = [round(float(value), 2) for value in box]
    return f'{json.dumps([points], separators=(",", ":"))},"area": {box[2] * box[3] / 2:.4f},' + (
        f'"iscrowd": 0,"bbox": {json.dumps(box, separators=(",", ":"))}'
    )


def _run_lengths(rng: np.random.Generator) -> str:
    """The same of a random crowd."""
    ends = np.sort(rng.choice(_WIDTH * _HEIGHT - 1, int(rng.integers(200, 900)), replace=False)) + 1
    counts = np.diff(ends, prepend=0, append=_WIDTH * _HEIGHT).tolist()
    counts = json.dumps({"counts": counts, "size": [_HEIGHT, _WIDTH]}, separators=(",", ":"))
    return f'{counts},"area": 20000,"iscrowd": 1,"bbox": [0,0,{_WIDTH},{_HEIGHT}]'
