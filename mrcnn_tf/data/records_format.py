"""The files of a folder of records: one image as a `tf.train.Example`, the index of a shard.

docs/data.md has the table of the fields.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Sequence
from numbers import Integral, Real
from pathlib import Path

import numpy as np
from pycocotools import mask as coco_mask

from mrcnn_tf.data.image_files import decode_image
from mrcnn_tf.data.keypoints import mirrored_order
from mrcnn_tf.data.sample import Sample

FORMAT_VERSION = 1  # raised when a reader of before would not understand what is written
MANIFEST = "manifest.json"
PLAN = "plan.json"  # is there while a conversion is not finished

_KEYS = (
    "split",
    "categories",
    "keypoint_names",
    "keypoint_skeleton",
    "keypoint_classes",
    "images",
    "objects",
    "skipped",
    "shards",
)

HEAD_BYTES = 12  # of a TFRecord, in front of its content: the length and a checksum of it
FOOT_BYTES = 4

INDEX_TYPE = np.dtype(
    [
        ("image_id", "<i8"),
        ("offset", "<i8"),  # of the content of the record, in bytes of the shard
        ("length", "<i8"),  # of the content
        ("crc32", "<u4"),  # of the content, zlib's
        ("height", "<i4"),
        ("width", "<i4"),
        (
            "annotations",
            "<i4",
        ),  # with those whose masks have no pixels, which are not in the record
        ("crowds", "<i4"),
    ]
)


def shard_name(split: str, number: int, count: int) -> str:
    """Name of the file of a shard, e.g. `train-00000-of-00032.tfrecord`."""
    return f"{split}-{number:05d}-of-{count:05d}.tfrecord"


def index_path(shard: Path) -> Path:
    """Where the index of a shard is, an array of `INDEX_TYPE`."""
    return shard.with_suffix(".index.npy")


def read_manifest(folder: str | os.PathLike) -> dict:
    """The manifest of a folder of records.

    Raises:
        FileNotFoundError: there is none, or the conversion has not been finished.
        ValueError: it is not a manifest, or of another version of the format.
    """
    path = Path(folder) / MANIFEST
    if not path.is_file():
        if (path.parent / PLAN).is_file():
            raise FileNotFoundError(
                f"{folder}: the conversion to records has not been finished; run the same "
                "`mrcnn-tf data convert` again, it goes on where it stopped"
            )
        raise FileNotFoundError(f"{folder} holds no records: there is no {path}")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        version = manifest["format_version"]
        is_complete = version != FORMAT_VERSION or all(manifest[key] is not None for key in _KEYS)
    except (ValueError, KeyError, TypeError):
        is_complete = False
    if not is_complete:
        raise ValueError(
            f"{path} is damaged or not a manifest of records; make it again with `mrcnn-tf data "
            "convert`"
        )
    if version != FORMAT_VERSION:
        raise ValueError(
            f"{path} has records of format version {version}, this release reads version "
            f"{FORMAT_VERSION}; convert the data again, to another folder"
        )
    return manifest


def encode_record(
    content: bytes,
    sample: Sample,
    file_name: str,
    annotations: Sequence[dict],
    category_ids: Sequence[int],
    class_names: Sequence[str],
) -> bytes:
    """One image as the content of a record, the same bytes whenever it is made.

    Args:
        content: the image file as it is.
        sample: what was read from it, at its size.
        file_name: of the image.
        annotations: the COCO dicts of the sample's objects.
        category_ids: the dataset's id of each class.
        class_names: the name of each class.
    """
    import tensorflow as tf

    height, width = sample.image.shape[:2]
    relative = sample.boxes.astype(np.float64) / (width, height, width, height)
    bytes_of = {
        "image/encoded": [content],
        "image/format": [_image_format(content, file_name)],
        "image/filename": [file_name],
        "image/source_id": [str(sample.image_id)],
        "image/object/class/text": [class_names[k] for k in sample.classes],
        "image/object/mask/counts": [_run_lengths(crop) for crop in sample.crops],
    }
    ints = {
        "image/height": [height],
        "image/width": [width],
        "image/object/class/label": [category_ids[k] for k in sample.classes],
        "image/object/is_crowd": sample.is_crowd,
        "image/object/id": [
            a["id"] if isinstance(a.get("id"), Integral) else -1 for a in annotations
        ],
        "image/object/mask/box": sample.mask_boxes.ravel(),
    }
    floats = {
        "image/object/area": [_area(a) for a in annotations],
        "image/object/box": sample.boxes.ravel(),
    }
    for column, name in enumerate(("xmin", "ymin", "xmax", "ymax")):
        floats[f"image/object/bbox/{name}"] = relative[:, column]
    if sample.keypoints is not None:
        x, y, visibility = np.moveaxis(sample.keypoints.astype(np.float64), 2, 0)
        floats["image/object/keypoint/x"] = x.ravel() / width
        floats["image/object/keypoint/y"] = y.ravel() / height
        ints["image/object/keypoint/visibility"] = visibility.ravel()
        floats["image/object/keypoints"] = sample.keypoints.ravel()

    features = {}
    for name, values in bytes_of.items():
        value = [v.encode() if isinstance(v, str) else v for v in values]
        features[name] = tf.train.Feature(bytes_list=tf.train.BytesList(value=value))
    for name, values in ints.items():
        value = [int(v) for v in values]
        features[name] = tf.train.Feature(int64_list=tf.train.Int64List(value=value))
    for name, values in floats.items():
        value = [float(v) for v in values]
        features[name] = tf.train.Feature(float_list=tf.train.FloatList(value=value))
    example = tf.train.Example(features=tf.train.Features(feature=features))
    # Fields are a map, which is written in any order otherwise.
    return example.SerializeToString(deterministic=True)


def decode_record(
    record: bytes, name: str, category_ids: Sequence[int], keypoint_names: Sequence[str]
) -> Sample:
    """The sample of a record, equal to the one that `encode_record` was given.

    Args:
        record: its content.
        name: for messages.
        category_ids: the dataset's id of each class.
        keypoint_names: the joints to read, which the record must have; none if empty.
    """
    import tensorflow as tf

    feature = tf.train.Example.FromString(record).features.feature

    def ints(field: str) -> np.ndarray:
        return np.array(feature[field].int64_list.value, np.int64)

    def floats(field: str) -> np.ndarray:
        return np.array(feature[field].float_list.value, np.float32)

    mask_boxes = ints("image/object/mask/box").reshape(-1, 4)
    counts = feature["image/object/mask/counts"].bytes_list.value
    class_of = {category: index for index, category in enumerate(category_ids)}
    labels = ints("image/object/class/label").tolist()
    joints = {}
    if keypoint_names:
        values = floats("image/object/keypoints")
        joints["keypoints"] = values.reshape(len(labels), len(keypoint_names), 3)
        joints["mirrored_joints"] = mirrored_order(list(keypoint_names))
    return Sample(
        image=decode_image(feature["image/encoded"].bytes_list.value[0], name),
        image_id=int(feature["image/source_id"].bytes_list.value[0]),
        boxes=floats("image/object/box").reshape(-1, 4),
        classes=np.array([class_of[label] for label in labels], np.int32),
        is_crowd=ints("image/object/is_crowd").astype(bool),
        crops=[_crop(runs, box) for runs, box in zip(counts, mask_boxes, strict=True)],
        mask_boxes=mask_boxes.astype(np.float32),
        **joints,
    )


def _area(annotation: dict) -> float:
    _, _, width, height = annotation["bbox"]
    area = annotation.get("area")
    return area if isinstance(area, Real) else width * height


def _run_lengths(crop: np.ndarray | None) -> bytes:
    if crop is None:
        return b""
    return coco_mask.encode(np.asfortranarray(crop.view(np.uint8)))["counts"]


def _crop(counts: bytes, box: np.ndarray) -> np.ndarray | None:
    if not counts:
        return None
    x1, y1, x2, y2 = box.tolist()
    mask = coco_mask.decode({"size": [y2 - y1, x2 - x1], "counts": counts})
    return np.ascontiguousarray(mask).view(bool)


def _image_format(content: bytes, file_name: str) -> str:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(content)) as image:
            return image.format.lower()
    except (OSError, UnidentifiedImageError):
        return Path(file_name).suffix.lstrip(".").lower()
