import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from pycocotools import mask as coco_mask

from mrcnn_tf import data
from mrcnn_tf.data import CocoDataset, RecordDataset, find_split, open_split, shapes, write_records
from mrcnn_tf.data.instance_masks import decode_crop
from mrcnn_tf.data.keypoints import read_keypoints
from mrcnn_tf.data.sample_reader import SampleReader
from tests.data.coco_folder import NATIVE, CocoFolder, blob, photo, rows


def with_crowds(folder: Path, stem: str) -> Path:
    """Every fifth annotation becomes a crowd, and the ids of images large and out of order."""
    path = folder / "annotations" / f"{stem}.json"
    content = json.loads(path.read_text())
    for annotation in content["annotations"]:
        annotation["iscrowd"] = int(annotation["id"] % 5 == 0)
        annotation["image_id"] = 2**40 - annotation["image_id"]
    for image in content["images"]:
        image["id"] = 2**40 - image["id"]
    path.write_text(json.dumps(content))
    return folder


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """A COCO folder with masks, joints and crowds."""
    folder = tmp_path_factory.mktemp("scenes")
    shapes.generate(folder, 7, image_size=96, progress=False)
    return with_crowds(folder, "train")


@pytest.fixture(scope="module")
def source(scenes):
    return CocoDataset(*find_split(scenes, "train"))


@pytest.fixture(scope="module")
def records(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    write_records(source, folder, shards=3, keypoints=True)
    return folder


@pytest.fixture
def copied(records, tmp_path):
    """A copy of the records, to be damaged."""
    return shutil.copytree(records, tmp_path / "copied")


def shard(folder, number):
    return folder / f"train-{number:05d}-of-00003.tfrecord"


def assert_same_batches(first, second):
    first, second = list(rows(first)), list(rows(second))
    assert len(first) == len(second) > 0
    for a, b in zip(first, second, strict=True):
        assert a.keys() == b.keys()
        for name in a:
            assert a[name].dtype == b[name].dtype if isinstance(a[name], np.ndarray) else True
            np.testing.assert_array_equal(a[name], b[name], err_msg=name)


@pytest.mark.parametrize(
    "settings",
    [
        {"shuffle": True, "flip": True, "vertical_flip": True, "repeat": 2, "keypoints": True},
        {"scale_jitter": (0.5, 2.0), "pad_to": (96, 96), "keypoints": True, "transpose": True},
        {"max_objects": 2, "mask_size": 28, "shuffle": True, "cache": True, "repeat": 2},
        {"max_objects": None, "drop_empty": True, "shuffle": True, "initial_epoch": 3},
    ],
)
@pytest.mark.filterwarnings("ignore:.*max_objects")
def test_batches_are_bit_by_bit_those_of_the_folder(scenes, records, settings):
    settings = {"batch_size": 3, "size": (80, 120), "seed": 4, **settings}
    source = CocoDataset(*find_split(scenes, "train"))
    opened = RecordDataset(records)
    assert_same_batches(data.coco(source, **settings), data.coco(opened, **settings))
    assert opened.skipped == source.skipped


def test_batches_of_some_images_in_another_order(scenes, records, tmp_path):
    for image_ids in (4, [2**40 - 3, 2**40 - 6, 2**40 - 1]):
        direct = data.coco(
            *find_split(scenes, "train"), image_ids=image_ids, size=64, cache=tmp_path / "a"
        )
        opened = RecordDataset(records, image_ids=image_ids)
        assert opened.image_ids == direct.source.image_ids
        for _ in range(2):
            assert_same_batches(direct, data.coco(opened, size=64, cache=tmp_path / "b"))
    assert len(list((tmp_path / "b").glob("*/*.zip"))) == 6  # read from the cache the second time


def test_batches_of_real_data(data_folder, tmp_path):
    dataset = CocoDataset(*find_split(data_folder / "coco128", "instances_train2017"), image_ids=40)
    write_records(dataset, tmp_path, shards=7)
    settings = {"batch_size": 4, "size": 160, "shuffle": True, "flip": True, "repeat": 2}
    assert_same_batches(
        data.coco(dataset, **settings), data.coco(RecordDataset(tmp_path), **settings)
    )


def test_what_a_dataset_tells(scenes, source, records):
    opened = open_split(records, "train")
    assert isinstance(opened, RecordDataset) and len(opened) == 7
    for name in (
        "image_ids",
        "category_ids",
        "class_names",
        "num_classes",
        "keypoint_names",
        "keypoint_skeleton",
        "keypoint_classes",
    ):
        assert getattr(opened, name) == getattr(source, name), name
    for image_id in source.image_ids:
        assert opened.size(image_id) == source.size(image_id)
    for crowds in (True, False):
        counts = opened.object_counts(crowds)
        assert counts.dtype == np.int64 and counts.sum() == [33, 41][crowds]
        np.testing.assert_array_equal(counts, source.object_counts(crowds))
    assert opened.path(opened.image_ids[3]) == f"{shard(records, 1)} (record 0)"
    with pytest.raises(KeyError, match="has no image with id 5"):
        opened.size(5)
    assert isinstance(open_split(scenes, "train"), CocoDataset)
    with pytest.raises(ValueError, match="holds records of the split train, not of val"):
        open_split(records, "val")
    with pytest.raises(ValueError, match="holds records, which are for training alone"):
        find_split(records, "train")
    for wrong in (0, [1], [], [2**40 - 1] * 2):
        with pytest.raises(ValueError, match="image_ids"):
            RecordDataset(records, image_ids=wrong)


def test_other_programs_can_read_the_records(source, records):
    strings, numbers, reals = (
        tf.io.RaggedFeature(dtype) for dtype in (tf.string, tf.int64, tf.float32)
    )
    fields = dict.fromkeys(("encoded", "format", "filename", "source_id"), strings)
    fields |= {"height": numbers, "width": numbers, "object/id": numbers, "object/area": reals}
    fields |= {"object/class/label": numbers, "object/class/text": strings}
    fields |= {f"object/bbox/{name}": reals for name in ("xmin", "ymin", "xmax", "ymax")}
    fields |= {"object/mask/counts": strings, "object/mask/box": numbers}
    fields |= {"object/is_crowd": numbers, "object/keypoint/visibility": numbers}
    fields |= {"object/keypoint/x": reals, "object/keypoint/y": reals}
    features = {f"image/{name}": feature for name, feature in fields.items()}

    files = [str(shard(records, number)) for number in range(3)]
    found = list(tf.data.TFRecordDataset(files))
    assert len(found) == 7
    for image_id, record in zip(source.image_ids, found, strict=True):
        example = tf.io.parse_single_example(record, features)
        value = {name[6:]: example[name].numpy() for name in features}
        annotations = source.annotations(image_id)
        assert value["encoded"][0] == Path(source.path(image_id)).read_bytes()
        assert value["filename"][0].decode() == os.path.basename(source.path(image_id))
        assert (value["format"][0], int(value["source_id"][0])) == (b"png", image_id)
        height, width = source.size(image_id)
        assert (value["height"][0], value["width"][0]) == (height, width)
        assert value["object/id"].tolist() == [a["id"] for a in annotations]
        assert value["object/class/label"].tolist() == [a["category_id"] for a in annotations]
        assert value["object/is_crowd"].tolist() == [a["iscrowd"] for a in annotations]
        names = [source.class_names[source.class_of(a)] for a in annotations]
        assert [text.decode() for text in value["object/class/text"]] == names
        np.testing.assert_allclose(value["object/area"], [a["area"] for a in annotations])
        corners = [value[f"object/bbox/{name}"] for name in ("xmin", "ymin", "xmax", "ymax")]
        boxes = np.stack(corners, axis=1) * (width, height, width, height)
        np.testing.assert_allclose(boxes, [source.box(a) for a in annotations], atol=1e-4)
        joints = [read_keypoints(a, 17) for a in annotations]
        for name, scale, column in (("x", width, 0), ("y", height, 1)):
            places = value[f"object/keypoint/{name}"].reshape(-1, 17) * scale
            np.testing.assert_allclose(places, np.stack(joints)[..., column], atol=1e-4)
        seen = value["object/keypoint/visibility"].reshape(-1, 17)
        np.testing.assert_array_equal(seen, np.stack(joints)[..., 2])
        for index, annotation in enumerate(annotations):
            runs = value["object/mask/counts"][index]
            box = tuple(value["object/mask/box"].reshape(-1, 4)[index].tolist())
            if annotation["iscrowd"]:
                assert (runs, box) == (b"", (0, 0, 0, 0))
                continue
            crop, crop_box = decode_crop(annotation["segmentation"], height, width)
            assert box == crop_box
            size = [box[3] - box[1], box[2] - box[0]]
            np.testing.assert_array_equal(coco_mask.decode({"size": size, "counts": runs}), crop)


def test_records_without_joints_and_images_without_objects(tmp_path):
    folder = CocoFolder(tmp_path / "coco")
    folder.add_image(4, photo(*NATIVE), "of a cat.jpg")
    folder.add_image(9, photo(*NATIVE))
    folder.add_object(9, blob(*NATIVE, 1), id="a cat", area=None)
    dataset = CocoDataset(*folder.write())
    manifest = write_records(dataset, tmp_path / "records", split="cats")
    assert manifest["shards"][0]["name"] == "cats-00000-of-00001.tfrecord"
    opened = RecordDataset(tmp_path / "records")
    assert_same_batches(data.coco(dataset, size=NATIVE), data.coco(opened, size=NATIVE))
    with pytest.raises(ValueError, match="the records hold no joints; convert .* --keypoints"):
        data.coco(opened, keypoints=True)
    with pytest.raises(ValueError, match="no category has joints"):
        write_records(dataset, tmp_path / "other", keypoints=True)
    with pytest.raises(ValueError, match="belong to the RecordDataset"):
        data.coco(opened, image_ids=1)


def flip_a_bit(path, position):
    content = bytearray(path.read_bytes())
    content[position] ^= 16
    path.write_bytes(bytes(content))


def test_a_damaged_record_is_named_or_skipped(copied, source):
    second = source.image_ids[4]
    offset = int(RecordDataset(copied)._index["offset"][4])
    flip_a_bit(shard(copied, 1), offset + 300)
    message = rf"train-00001-of-00003\.tfrecord \(record 1\), image id {second}: .* is damaged"
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        list(data.coco(RecordDataset(copied), size=64))

    opened = RecordDataset(copied, on_error="skip")
    with pytest.warns(UserWarning, match=message):
        found = [int(row["image_id"]) for row in rows(data.coco(opened, size=64, repeat=2))]
    assert found == [i for i in source.image_ids if i != second] * 2
    assert opened.skipped == {"image file unusable": 1}

    opened = RecordDataset(copied)
    shard(copied, 1).unlink()
    with pytest.raises(ValueError, match=r"record 1\), image id .* cannot be read: No such file"):
        SampleReader(opened, None, 100, False).read(second)


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (lambda f: shard(f, 2).unlink(), FileNotFoundError, r"00002-of-00003\.tfrecord is missing"),
        (lambda f: os.truncate(shard(f, 0), 999), ValueError, "has 999 bytes, manifest.json says"),
        (
            lambda f: shard(f, 1).with_suffix(".index.npy").unlink(),
            FileNotFoundError,
            r"00001-of-00003\.index\.npy is missing",
        ),
        (
            lambda f: flip_a_bit(shard(f, 1).with_suffix(".index.npy"), 140),
            ValueError,
            r"index\.npy is damaged \(another hash\).*mrcnn-tf data verify",
        ),
        (
            lambda f: (f / "manifest.json").write_text('{"format_version": 2, "shards": [{}]}'),
            ValueError,
            "of format version 2, this release reads version 1; convert the data again",
        ),
        (lambda f: (f / "manifest.json").write_text("{"), ValueError, "is damaged or not a mani"),
        (
            lambda f: (f / "manifest.json").write_text('{"format_version": 1, "shards": []}'),
            ValueError,
            "is damaged or not a mani",
        ),
        (lambda f: (f / "manifest.json").write_text("[]"), ValueError, "is damaged or not a mani"),
        (lambda f: (f / "manifest.json").unlink(), FileNotFoundError, "holds no records"),
        (
            lambda f: (f / "manifest.json").rename(f / "plan.json"),
            FileNotFoundError,
            "has not been finished; run the same `mrcnn-tf data convert` again",
        ),
    ],
)
def test_a_damaged_folder_is_not_opened(copied, damage, error, message):
    damage(copied)
    with pytest.raises(error, match=message):
        RecordDataset(copied)
