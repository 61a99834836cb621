import os

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mrcnn_tf import data
from mrcnn_tf.data.instance_masks import unpack_crops
from tests.data.coco_folder import NATIVE, CocoFolder, blob, photo, random_folder, rows


def test_crowds_and_objects_without_masks_are_kept(tmp_path):
    folder = CocoFolder(tmp_path / "data")
    folder.add_image(1, photo(*NATIVE))
    mask = blob(*NATIVE, 1)
    folder.add_object(1, mask, iscrowd=1)
    folder.add_object(1, mask, segmentation=[])
    folder.add_object(1, mask)
    del folder.annotations[1]["segmentation"]
    (row,) = rows(data.coco(*folder.write(), size=NATIVE, flip=True, max_objects=4))
    assert row["is_crowd"].tolist() == [True, False, False, False]
    assert row["classes"].tolist() == [0, 0, 0, -1]
    assert row["mask_shapes"].any(axis=1).tolist() == [False, False, True, False]
    assert row["mask_boxes"].any(axis=1).tolist() == [False, False, True, False]
    np.testing.assert_array_equal(row["boxes"][0], row["boxes"][2])


def test_max_objects_keeps_the_largest_that_are_no_crowd_in_their_order(tmp_path):
    folder = CocoFolder(tmp_path / "data")
    folder.add_image(1, photo(*NATIVE))
    folder.add_image(2, photo(*NATIVE))
    for i, side in enumerate([3, 9, 5, 20, 7]):
        mask = np.zeros(NATIVE, bool)
        mask[:side, :side] = True
        folder.add_object(1, mask, iscrowd=int(i == 3))
    files = folder.write()

    with pytest.warns(UserWarning, match="2 objects are left out .*max_objects=3 .at most 5"):
        dataset = data.coco(*files, size=NATIVE, max_objects=3)
    row, empty = rows(dataset)
    assert row["boxes"][:, 2].tolist() == [9, 5, 7]
    assert dataset.skipped == {"object beyond max_objects": 2}
    assert empty["classes"].tolist() == [-1] * 3 and empty["masks"].shape == (0,)
    with pytest.warns(UserWarning, match="1 objects"):
        (row, _) = rows(data.coco(*files, size=NATIVE, max_objects=4))
    assert row["boxes"][:, 2].tolist() == [3, 9, 5, 7]
    everything = data.coco(*files, size=NATIVE, max_objects=None)
    assert everything.element_spec[1]["boxes"].shape.as_list() == [None, 5, 4]
    assert everything.skipped == {}


def test_faults_found_while_reading_name_the_file_or_are_skipped(tmp_path):
    folder = random_folder(tmp_path / "data", num_images=6)
    broken = folder.images_folder / "0011.png"
    broken.write_bytes(broken.read_bytes()[:200])
    folder.images[2]["width"] = 60
    folder.images[3].update(file_name="turned.jpg", width=56, height=40)
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(photo(56, 40)).save(folder.images_folder / "turned.jpg", exif=exif)
    folder.add_object(14, blob(40, 56, 1), segmentation={"size": [40, 50], "counts": "abc"})
    folder.add_object(15, blob(56, 40, 1), segmentation=[[1, 1, 2, 2]])
    folder.annotations = [a for a in folder.annotations if a["image_id"] != 13]
    files = folder.write()

    for image_id, message in [
        (11, r"0011\.png cannot be decoded"),
        (12, r"0012\.png \(id 12\) is 40 x 56 .*annotations say 40 x 60\. Correct"),
        (13, r"turned\.jpg \(id 13\) is 56 x 40 .*40 x 56\. .*EXIF rotation"),
        (14, r"train\.json: annotation 25 of image 14: run lengths are for .*\[40, 50\]"),
    ]:
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            list(data.coco(*files, size=NATIVE, image_ids=[image_id]))

    dataset = data.coco(*files, batch_size=2, size=NATIVE, on_error="skip", repeat=2)
    with pytest.warns(UserWarning, match=r"image file unusable: image .*0011\.png cannot be"):
        found = list(rows(dataset))
    assert [int(r["image_id"]) for r in found] == [10, 14, 15] * 2
    assert [(r["classes"] >= 0).sum() for r in found] == [4, 4, 4] * 2
    assert dataset.skipped == {
        "image file unusable": 3,
        "annotation with a malformed segmentation": 1,
        "mask without pixels": 1,
    }


def test_caches_hold_everything_and_a_changed_image_is_read_again(tmp_path):
    folder = random_folder(tmp_path / "data", num_images=3)
    folder.add_object(10, blob(40, 56, 9), iscrowd=1)
    files = folder.write()
    settings = {"batch_size": 2, "size": (60, 90), "flip": True}
    plain = list(rows(data.coco(*files, **settings, repeat=2)))
    for cache in (True, tmp_path / "cache", str(tmp_path / "cache")):
        cached = list(rows(data.coco(*files, **settings, cache=cache, repeat=2)))
        for a, b in zip(plain, cached, strict=True):
            for name in a:
                np.testing.assert_array_equal(a[name], b[name], err_msg=name)
    assert len(list((tmp_path / "cache").glob("*/*.zip"))) == 3

    other_size = data.coco(*files, batch_size=1, size=20, cache=tmp_path / "cache")
    assert {r["image"].shape for r in rows(other_size)} == {(14, 20, 3), (20, 14, 3)}
    Image.fromarray(np.full((40, 56, 3), 77, np.uint8)).save(folder.images_folder / "0010.png")
    os.utime(folder.images_folder / "0010.png", (1, 1))
    row = next(rows(data.coco(*files, **settings, cache=tmp_path / "cache")))
    assert set(row["image"].flatten()) == {77}
    damaged = next((tmp_path / "cache").glob("*/10.zip"))
    damaged.write_bytes(damaged.read_bytes()[:100])
    row = next(rows(data.coco(*files, **settings, cache=tmp_path / "cache")))
    assert set(row["image"].flatten()) == {77}


@pytest.mark.parametrize(
    ("folder", "stem", "count", "crowds"),
    [("nuclei", "val_fluo256", 1334, 0), ("coco128", "instances_train2017", 939, 10)],
)
def test_masks_of_real_data_equal_pycocotools(folder, stem, count, crowds):
    root = os.environ.get("MRCNN_TF_DATA")
    if not root:
        pytest.skip("MRCNN_TF_DATA, the folder with the real data sets, is not set")
    source = data.CocoDataset(*data.find_split(os.path.join(root, folder), stem))
    total = crowds_seen = 0
    for row in rows(data.coco(source, batch_size=1, size=160, max_objects=None)):
        annotations = source.annotations(int(row["image_id"]))
        total += int((row["classes"] >= 0).sum())
        crowds_seen += int(row["is_crowd"].sum())
        crops = unpack_crops(row["masks"], row["mask_shapes"])
        height, width = source.size(int(row["image_id"]))
        scale = row["image_sizes"][[1, 0, 1, 0]] / np.array([width, height, width, height])
        for i, annotation in enumerate(annotations):
            x, y, w, h = annotation["bbox"]
            box = np.clip([x, y, x + w, y + h], 0, [width, height, width, height])
            np.testing.assert_allclose(row["boxes"][i], box * scale, atol=1e-3)
            if annotation["iscrowd"]:
                assert crops[i] is None
                continue
            found = np.zeros((height, width), np.uint8)
            x1, y1, x2, y2 = np.rint(row["mask_boxes"][i] / scale).astype(int)
            found[y1:y2, x1:x2] = crops[i]
            np.testing.assert_array_equal(found, source.coco.annToMask(annotation))
    assert (total, crowds_seen) == (count, crowds)
    assert source.skipped == {}
