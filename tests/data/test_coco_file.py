import io
import json

import numpy as np
import pytest

from mrcnn_tf.data import CocoDataset, coco, coco_file
from tests.data.coco_folder import CocoFolder, blob, photo, rows

NAMES = ["nose", "left_eye", "right_eye"]
JOINTS = [4, 5, 2, 20, 12, 1, 0, 0, 0]


@pytest.fixture
def folder(tmp_path):
    """Instances of two classes, and a second file with the joints of the class 7."""
    made = CocoFolder(tmp_path / "data")
    made.add_image(1, photo(40, 56))
    for category in (3, 7, 7):
        made.add_object(1, blob(40, 56, category), category_id=category)
    made.joints = {
        "images": made.images,
        "annotations": [
            {**a, "keypoints": [0] * 9, "num_keypoints": 0} for a in made.annotations[1:]
        ],
        "categories": [{"id": 7, "name": "dog", "keypoints": NAMES, "skeleton": [[1, 2], [1, 3]]}],
    }
    made.joints["annotations"][1].update(keypoints=JOINTS, num_keypoints=2)
    made.joints_file = made.annotation_file.with_name("joints.json")
    return made


def write(folder):
    folder.joints_file.write_text(json.dumps(folder.joints))
    return (*folder.write(), folder.joints_file)


def test_joints_join_all_classes(folder):
    *files, joints = write(folder)
    dataset = CocoDataset(*files, keypoint_annotations=joints)
    assert dataset.class_names == ["cat", "dog"] and dataset.keypoint_names == NAMES
    assert dataset.keypoint_skeleton == [(0, 1), (0, 2)] and dataset.keypoint_classes == [1]
    assert [a.get("keypoints") for a in dataset.annotations(1)] == [None, [0] * 9, JOINTS]
    assert dataset.coco.loadAnns([3])[0]["num_keypoints"] == 2
    [row] = rows(coco(dataset, size=(40, 56), keypoints=True, max_objects=3))
    np.testing.assert_array_equal(row["classes"], [0, 1, 1])
    assert row["mask_shapes"].all() and not row["keypoints"][:2].any()
    np.testing.assert_array_equal(row["keypoints"][2], [[4.5, 5.5, 2], [20.5, 12.5, 1], [0] * 3])

    alone = CocoDataset(*files)
    assert alone.keypoint_classes == [] and "keypoints" not in alone.annotations(1)[2]
    cats = CocoDataset(*files, keypoint_annotations=joints, category_ids=[3])
    assert cats.keypoint_classes == []


def test_a_cache_knows_the_joints_file(folder, tmp_path):
    def joint(cache):
        *files, joints = write(folder)
        dataset = CocoDataset(*files, keypoint_annotations=joints)
        [row] = rows(coco(dataset, keypoints=True, size=(40, 56), max_objects=3, cache=cache))
        return row["keypoints"][2, 0, 0]

    assert joint(tmp_path / "cache") == 4.5
    folder.joints["annotations"][1]["keypoints"] = [14, *JOINTS[1:]]
    assert joint(tmp_path / "cache") == 14.5


def test_joints_of_other_objects(folder):
    folder.joints["annotations"][1]["id"] = 99
    folder.joints["annotations"][0]["id"] = 98  # has no joints, so nothing is lost
    *files, joints = write(folder)
    with pytest.raises(
        ValueError,
        match=r"joints of an object that is not there \(1 in all\): annotation 99 \(image 1\).*"
        r"joints.json of the same images",
    ):
        CocoDataset(*files, keypoint_annotations=joints)
    with pytest.warns(UserWarning, match="joints of an object that is not there: 1"):
        dataset = CocoDataset(*files, keypoint_annotations=joints, on_error="skip")
    assert all("keypoints" not in a for a in dataset.annotations(1))
    folder.joints["annotations"][1].update(id=3, image_id=2)
    *files, joints = write(folder)
    with pytest.raises(ValueError, match=r"annotation 3 \(image 2\)"):
        CocoDataset(*files, keypoint_annotations=joints)
    with pytest.raises(FileNotFoundError, match="missing.json does not exist"):
        CocoDataset(*files, keypoint_annotations=joints.with_name("missing.json"))


def test_a_skeleton_of_other_joints(folder):
    folder.joints["categories"][0]["skeleton"] = [[0, 1]]
    *files, joints = write(folder)
    dataset = CocoDataset(*files, keypoint_annotations=joints)
    with pytest.raises(ValueError, match="`skeleton` of category 7 must hold pairs .* from 1 to 3"):
        dataset.keypoint_skeleton  # noqa: B018


CONTENT = {
    "info": [-12.5e3, "\u00e9 or \u0416", None],
    "version": 1.25,
    "images": [{"id": 1, "file_name": "\u0416.png"}, {}],
    "annotations": [{"bbox": [1.5, 2e3, 10, 0.125]}, {"text": 'a "quote", ]}'}],
    "categories": [],
}


@pytest.mark.parametrize("block", [1, 7, 1 << 20])
@pytest.mark.parametrize("options", [{}, {"ensure_ascii": False, "indent": 1}])
def test_entries_are_found_whatever_a_block_cuts(monkeypatch, block, options):
    monkeypatch.setattr(coco_file, "_BLOCK", block)
    content = json.dumps(CONTENT, **options).encode()
    entries = list(coco_file.read_entries(io.BytesIO(content), "a.json"))
    assert [(e.key, e.value) for e in entries] == [
        *((key, CONTENT[key]) for key in ("info", "version")),
        *((key, value) for key in ("images", "annotations") for value in CONTENT[key]),
    ]
    for entry in entries:
        assert json.loads(content[entry.offset : entry.offset + entry.length]) == entry.value


@pytest.mark.parametrize("block", [1, 1 << 20])
@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        '{"images": [{"id": 1}\n {"id": 2}]}',
        '{"images":\n[{"id": tru}]}',
        '{"images": [], "annotations": [], "categories": []} more',
        '{"images": [{"id": 1',
        "{1: 2}",
    ],
)
def test_what_is_no_json_has_the_message_of_the_parser(monkeypatch, block, content):
    monkeypatch.setattr(coco_file, "_BLOCK", block)
    with pytest.raises(json.JSONDecodeError) as expected:
        json.loads(content)
    with pytest.raises(ValueError) as found:
        list(coco_file.read_entries(io.BytesIO(content.encode()), "a.json"))
    assert str(found.value) == f"annotation file a.json is not valid JSON: {expected.value}"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"images": [3]}', "entry 0 of `images` must be an object, got 3$"),
        (b'{"images": [], "images": []}', "two lists `images`"),
        (b'{"info": "\xff"}', "not valid JSON: 'utf-8' codec"),
    ],
)
def test_what_is_no_list_of_entries(content, message):
    with pytest.raises(ValueError, match=message):
        list(coco_file.read_entries(io.BytesIO(content), "a.json"))
