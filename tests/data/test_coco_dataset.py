import json
import warnings

import pytest

from mrcnn_tf.data import CocoDataset
from tests.data.coco_folder import CocoFolder, annotation, blob, photo, random_folder

MASK = blob(40, 56, seed=1)


@pytest.fixture
def folder(tmp_path):
    return random_folder(tmp_path / "data", num_images=4)


def test_index(folder):
    folder.images.reverse()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = CocoDataset(*folder.write())
    assert dataset.category_ids == [3, 7]
    assert dataset.class_names == ["cat", "dog"]
    assert dataset.num_classes == 2
    assert dataset.image_ids == [10, 11, 12, 13] and len(dataset) == 4
    assert dataset.path(11) == str(folder.images_folder / "0011.png")
    assert dataset.size(11) == (56, 40)
    assert [a["id"] for a in dataset.annotations(11)] == [5, 6, 7, 8]
    assert [dataset.class_of(a) for a in dataset.annotations(11)] == [0, 1, 0, 1]
    assert dataset.skipped == {}
    with pytest.raises(KeyError, match="no image with id 99"):
        dataset.path(99)


def test_coco_is_the_whole_file_and_built_silently(folder, capsys):
    folder.add_object(10, MASK, bbox=[100.0, 100.0, 5.0, 4.0])
    del folder.annotations[0]["iscrowd"], folder.annotations[-1]["area"]
    with pytest.warns(UserWarning, match="box outside the image: 1"):
        dataset = CocoDataset(*folder.write(), image_ids=2)
    assert len(dataset.coco.anns) == len(folder.annotations)
    assert len(dataset.coco.imgs) == 4
    assert dataset.coco.anns[1]["iscrowd"] == 0
    assert dataset.coco.anns[17]["area"] == 20.0
    assert dataset.coco is dataset.coco
    assert capsys.readouterr().out == ""


def test_subsets_of_images_and_categories(folder):
    files = folder.write()
    assert CocoDataset(*files, image_ids=3).image_ids == [10, 11, 12]
    assert CocoDataset(*files, image_ids=99).image_ids == [10, 11, 12, 13]
    assert CocoDataset(*files, image_ids=[13, 10]).image_ids == [13, 10]
    dogs = CocoDataset(*files, category_ids=[7])
    assert dogs.class_names == ["dog"]
    assert {a["category_id"] for a in dogs.annotations(10)} == {7}
    turned = CocoDataset(*files, category_ids=[7, 3])
    assert [turned.class_of(a) for a in turned.annotations(10)] == [1, 0, 1, 0]
    for wrong in ([1], [], [3, 3]):
        with pytest.raises(ValueError, match=r"category_ids must be different ids out of \[3, 7\]"):
            CocoDataset(*files, category_ids=wrong)
    with pytest.raises(ValueError, match=r"image_ids \[5\] \(1 in all\) are not in .*train\.json"):
        CocoDataset(*files, image_ids=[10, 5])
    for wrong in ([], [10, 10]):
        with pytest.raises(ValueError, match="each given once"):
            CocoDataset(*files, image_ids=wrong)
    with pytest.raises(ValueError, match="at least 1 image"):
        CocoDataset(*files, image_ids=0)
    with pytest.raises(ValueError, match="on_error must be 'raise' or 'skip', got 'ignore'"):
        CocoDataset(*files, on_error="ignore")


def test_boxes_are_clipped_and_left_out_without_area(folder):
    folder.annotations = [
        annotation(1, 10, MASK, bbox=[-4.5, -2.0, 10.0, 12.5]),
        annotation(2, 10, MASK, bbox=[50.0, 30.0, 100.0, 100.0]),
        annotation(3, 10, MASK, bbox=[56.0, 3.0, 9.0, 9.0]),
        annotation(4, 10, MASK, bbox=[3.0, -9.0, 9.0, 9.0]),
        annotation(5, 10, MASK, bbox=[3.0, 3.0, 0.0, 9.0]),
    ]
    with pytest.warns(UserWarning, match="skipped box outside the image: 2, box without area: 1"):
        dataset = CocoDataset(*folder.write())
    boxes = [dataset.box(a) for a in dataset.annotations(10)]
    assert boxes == [(0.0, 0.0, 5.5, 10.5), (50.0, 30.0, 56, 40)]
    assert dataset.skipped == {"box outside the image": 2, "box without area": 1}


def test_files_that_cannot_be_read(tmp_path):
    folder = CocoFolder(tmp_path / "data")
    folder.add_image(1, photo(8, 8))
    images, annotations = folder.write()
    with pytest.raises(FileNotFoundError, match=r"annotation file .*absent\.json does not exist"):
        CocoDataset(images, tmp_path / "absent.json")
    with pytest.raises(FileNotFoundError, match="image folder .*absent does not exist"):
        CocoDataset(tmp_path / "absent", annotations)
    broken = tmp_path / "broken.json"
    for content, message in [
        ('{"images": [', r"broken\.json is not valid JSON: Expecting value: line 1"),
        ("[1, 2]", r"broken\.json is not in COCO format: it has no list `images`"),
        ('{"images": [], "annotations": 3}', "has no list `annotations`"),
        ('{"images": [], "annotations": [], "categories": []}', "has no categories"),
    ]:
        broken.write_text(content)
        with pytest.raises(ValueError, match=message):
            CocoDataset(images, broken)
    categories = [{"id": 1, "name": "cell"}]
    for entries, message in [
        ([], "lists no images"),
        (
            [{"id": "a", "file_name": "a.png"}],
            "needs an integer `id` and a `file_name`, got id 'a'",
        ),
        ([{"id": 1}], "file_name None"),
    ]:
        content = {"images": entries, "annotations": [], "categories": categories}
        broken.write_text(json.dumps(content))
        with pytest.raises(ValueError, match=message):
            CocoDataset(images, broken)
    content = {"images": [{"id": 1, "file_name": "0001.png"}], "annotations": []}
    broken.write_text(json.dumps({**content, "categories": categories * 2}))
    with pytest.raises(ValueError, match="category id 1 is used twice"):
        CocoDataset(images, broken)


def test_missing_images_are_listed_or_skipped(folder):
    files = folder.write()
    for image_id in (11, 12):
        (folder.images_folder / f"00{image_id}.png").unlink()
    message = r"image file missing \(2 in all\): .*0011\.png, .*0012\.png\. .*on_error='skip'"
    with pytest.raises(FileNotFoundError, match=message):
        CocoDataset(*files)
    CocoDataset(*files, image_ids=[10, 13])
    with pytest.warns(UserWarning, match="skipped image file missing: 2"):
        dataset = CocoDataset(*files, on_error="skip")
    assert dataset.image_ids == [10, 13]
    assert dataset.skipped == {"image file missing": 2}
    for path in folder.images_folder.iterdir():
        path.unlink()
    with pytest.raises(FileNotFoundError, match="none of the images of"):
        CocoDataset(*files, on_error="skip")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_id": 99}, r"an unknown image \(1 in all\): annotation 17 \(image 99\)"),
        ({"category_id": 5}, r"unknown category \(1 in all\): annotation 17 \(category 5\)"),
        ({"id": 1}, r"an id used before \(1 in all\): annotation 1 \(image 10\)"),
        ({"bbox": [1, 2, 3]}, r"malformed box .*annotation 17 \(image 10\).*four finite numbers"),
        ({"bbox": None}, "malformed box"),
        ({"bbox": [1, 2, float("inf"), 3]}, "malformed box"),
    ],
)
def test_faulty_annotations_are_named_or_skipped(folder, changes, message):
    folder.add_object(10, MASK, **changes)
    files = folder.write()
    with pytest.raises(ValueError, match=message):
        CocoDataset(*files)
    with pytest.warns(UserWarning, match="skipped annotation"):
        dataset = CocoDataset(*files, on_error="skip")
    assert len(dataset.annotations(10)) == 4
    assert list(dataset.skipped.values()) == [1]


def test_an_image_id_used_twice(folder):
    folder.add_image(10, photo(8, 8), name="again.png")
    files = folder.write()
    with pytest.raises(ValueError, match=r"image with an id used before \(1 in all\): 10 \(again"):
        CocoDataset(*files)
    with pytest.warns(UserWarning, match="skipped image with an id used before: 1"):
        dataset = CocoDataset(*files, on_error="skip")
    assert dataset.path(10).endswith("0010.png")


def test_a_size_that_is_not_given_is_read_from_the_file(folder):
    del folder.images[1]["height"]
    dataset = CocoDataset(*folder.write())
    assert dataset.size(11) == (56, 40)


def test_what_is_found_late_is_counted_once(folder):
    dataset = CocoDataset(*folder.write())
    with pytest.warns(UserWarning, match="mask without pixels: annotation 5"):
        dataset.note_skipped("mask without pixels", 5, "annotation 5")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset.note_skipped("mask without pixels", 5, "annotation 5")
        dataset.note_skipped("mask without pixels", 6, "annotation 6")
    assert dataset.skipped == {"mask without pixels": 2}
