import json

import pytest

from mrcnn_tf.data import find_keypoints, find_split


def make(root, stem, image_folder, name="a.jpg"):
    (root / "annotations").mkdir(exist_ok=True, parents=True)
    content = {"info": {"padding": "x" * 10}, "images": [{"id": 1, "file_name": name}]}
    (root / "annotations" / f"{stem}.json").write_text(json.dumps(content))
    (root / image_folder).mkdir(parents=True, exist_ok=True)
    (root / image_folder / name).write_bytes(b"")


@pytest.mark.parametrize(
    ("stem", "folder"),
    [
        ("instances_val2017", "images"),
        ("instances_val2017", "val2017"),
        ("train", "train"),
        ("person_keypoints_val", "person_keypoints_val"),
        ("train", "."),
        ("train", "pictures"),
    ],
)
def test_layouts(tmp_path, stem, folder):
    make(tmp_path, stem, folder)
    (tmp_path / "empty").mkdir()
    images, annotations = find_split(tmp_path, stem)
    assert images == str(tmp_path / folder)
    assert annotations == str(tmp_path / "annotations" / f"{stem}.json")
    assert find_split(str(tmp_path), f"{stem}.json") == (images, annotations)


def test_the_folder_of_the_split_wins_only_if_it_holds_the_image(tmp_path):
    make(tmp_path, "instances_train", "train", name='odd "name".jpg')
    make(tmp_path, "instances_val", "val", name="b.jpg")
    (tmp_path / "images").mkdir()
    assert find_split(tmp_path, "instances_train")[0] == str(tmp_path / "train")
    assert find_split(tmp_path, "instances_val")[0] == str(tmp_path / "val")


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="data folder .*nowhere does not exist"):
        find_split(tmp_path / "nowhere", "train")
    with pytest.raises(FileNotFoundError, match=r"holds no \.json"):
        find_split(tmp_path, "train")
    make(tmp_path, "train", "images")
    with pytest.raises(FileNotFoundError, match=r"val\.json does not exist; there are: train"):
        find_split(tmp_path, "val")
    (tmp_path / "images" / "a.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"a\.jpg as its first image, .*images"):
        find_split(tmp_path, "train")
    (tmp_path / "annotations" / "train.json").write_text("{}")
    with pytest.raises(ValueError, match=r"train\.json names no image"):
        find_split(tmp_path, "train")


def test_joints_lie_beside_the_instances(tmp_path):
    make(tmp_path, "instances_val2017", "images")
    instances = tmp_path / "annotations" / "instances_val2017.json"
    assert find_keypoints(instances) is None
    make(tmp_path, "person_keypoints_val2017", "images")
    beside = tmp_path / "annotations" / "person_keypoints_val2017.json"
    assert find_keypoints(str(instances)) == str(beside)
    assert find_keypoints(beside) is None
