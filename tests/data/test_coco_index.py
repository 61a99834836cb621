import json
import os
import warnings

import numpy as np
import pytest

from mrcnn_tf.data import CocoDataset, coco_index
from mrcnn_tf.data.coco_index import CocoIndex, id_number
from tests.data.coco_folder import blob, random_folder

MASK = blob(40, 56, seed=1)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(coco_index, "_STORED_FROM", 0)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    made = random_folder(tmp_path / "data", num_images=4)
    made.add_object(11, MASK, bbox=[1, 2, 3], iscrowd=1)
    made.add_object(10, MASK, keypoints=[1, 2, 2], extra={"\u0416": [1]})
    made.add_object(12, MASK, iscrowd=1)
    made.images[0]["file_name"] = "\u0416.png"
    os.rename(made.images_folder / "0010.png", made.images_folder / "\u0416.png")
    del made.images[1]["width"]
    return made


def opened(files):
    with pytest.warns(UserWarning, match="skipped annotation with a malformed box: 1$"):
        return CocoDataset(*files, on_error="skip")


def no_parser(monkeypatch):
    def fail(*_):
        raise AssertionError("the file was parsed")

    monkeypatch.setattr(coco_index, "_read", fail)


def test_a_stored_index_is_the_file(folder, monkeypatch):
    files = folder.write()
    stored = folder.annotation_file.parent / ".mrcnn_tf" / "train.json.index"
    first = opened(files)
    assert os.listdir(stored.parent) == ["train.json.index"]
    with monkeypatch.context() as patched:
        no_parser(patched)
        again = opened(files)
    monkeypatch.setattr(coco_index, "_STORED_FROM", 1 << 30)
    parsed = opened(files)
    for dataset in (first, again, parsed):
        assert dataset.image_ids == [10, 11, 12, 13]
        assert dataset.size(11) == (56, 40) and dataset.path(10).endswith("\u0416.png")
        for image_id in dataset.image_ids:
            expected = [a for a in folder.annotations if a["image_id"] == image_id]
            assert dataset.annotations(image_id) == [a for a in expected if len(a["bbox"]) == 4]
        np.testing.assert_array_equal(dataset.object_counts(), [5, 4, 5, 4])
        np.testing.assert_array_equal(dataset.object_counts(crowds=False), [5, 4, 4, 4])
        complete = [
            {**image, "width": 40} if image["id"] == 11 else image for image in folder.images
        ]
        assert dataset.coco.dataset["images"] == complete


def test_counts_are_in_the_order_of_the_images(folder):
    folder.annotations = [a for a in folder.annotations if a["image_id"] != 13]
    files = folder.write()
    dataset = CocoDataset(*files, image_ids=[12, 13, 10])
    np.testing.assert_array_equal(dataset.object_counts(), [5, 0, 5])
    np.testing.assert_array_equal(dataset.object_counts(crowds=False), [4, 0, 5])
    cats = CocoDataset(*files, image_ids=[12, 13, 10], category_ids=[7])
    np.testing.assert_array_equal(cats.object_counts(), [2, 0, 2])


def test_a_damaged_or_outdated_index_is_made_again(folder, monkeypatch):
    files = folder.write()
    opened(files)
    (stored,) = (folder.annotation_file.parent / ".mrcnn_tf").iterdir()
    whole = stored.read_bytes()
    middle = len(whole) // 2
    for damaged in (
        whole[:middle],
        whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
        whole.replace(b'"format": ', b'"format": 9', 1),
        b"",
        b"[]\n",
    ):
        stored.write_bytes(damaged)
        assert len(opened(files).annotations(10)) == 5
        assert stored.read_bytes() == whole
    folder.add_object(10, MASK)
    folder.write()
    assert len(opened(files).annotations(10)) == 6
    no_parser(monkeypatch)
    assert len(opened(files).annotations(10)) == 6


def test_an_index_goes_where_it_can_be_written(folder, tmp_path, monkeypatch):
    files = folder.write()
    (folder.annotation_file.parent / ".mrcnn_tf").write_text("no folder")
    opened(files)
    (stored,) = (tmp_path / "keras" / "mrcnn_tf").iterdir()
    assert stored.name.startswith("train-") and stored.suffix == ".index"
    with monkeypatch.context() as patched:
        no_parser(patched)
        opened(files)
    stored.unlink()
    stored.parent.rmdir()
    stored.parent.write_text("no folder either")
    with pytest.warns(UserWarning, match=r"index could not be stored .*set KERAS_HOME"):
        index = CocoIndex(folder.annotation_file)
    assert index.annotation(0) == folder.annotations[0]


def test_a_file_that_changes_while_it_is_used(folder, tmp_path):
    files = folder.write()
    dataset = opened(files)
    expected = dataset.annotations(10)
    other = tmp_path / "other.json"
    other.write_text("{}")
    os.replace(folder.annotation_file, tmp_path / "moved.json")
    os.replace(other, folder.annotation_file)
    assert dataset.annotations(10) == expected
    (tmp_path / "moved.json").write_text("{}")
    with pytest.raises(ValueError, match=r"train\.json was changed while it was in use: start"):
        dataset.annotations(10)


def test_ids_that_are_no_integers(folder):
    folder.annotations = folder.annotations[:4]
    for annotation, changed in zip(folder.annotations, ["a", "b", 3.5, None], strict=True):
        annotation["id"] = changed
    folder.annotations.append(dict(folder.annotations[3]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(CocoDataset(*folder.write()).annotations(10)) == 5
    folder.annotations[1]["id"] = "a"
    with pytest.raises(ValueError, match=r"id used before \(1 in all\): annotation a \(image 10\)"):
        CocoDataset(*folder.write())
    folder.annotations[1].update(id="c", image_id="10", category_id=3)
    with pytest.raises(ValueError, match=r"unknown image \(1 in all\): annotation c \(image 10\)"):
        CocoDataset(*folder.write())
    assert id_number(3.0) == id_number(3) == id_number(True) + 2 == 3
    numbers = [id_number(value) for value in ("3", 3.5, 1 << 80, [3], None, float("nan"))]
    assert len({*numbers, 3}) == 7 and all(-(1 << 63) <= number < 1 << 63 for number in numbers)


def test_an_image_id_beyond_64_bits(folder):
    folder.images[0]["id"] = 1 << 70
    with pytest.raises(ValueError, match="needs an integer `id` and a `file_name`, got id 11805"):
        CocoDataset(*folder.write())


def test_what_the_file_holds_besides(folder):
    folder.write()
    content = json.loads(folder.annotation_file.read_text())
    folder.annotation_file.write_text(json.dumps({"info": {"year": 2017}, **content}))
    assert CocoIndex(folder.annotation_file).others() == {"info": {"year": 2017}}
