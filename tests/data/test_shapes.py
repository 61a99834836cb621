import contextlib
import hashlib
import io
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from mrcnn_tf.data import shapes

# Fixes generator version 1. If a change of the drawing is meant, raise GENERATOR_VERSION and renew.
PINNED_VERSION = 1
PINNED_HASH = "78f831ad1c97a78234a7297cd5af8900cfe38405cf4dd7d51fcb54285d23d754"

LIMBS = ("elbow", "wrist", "knee", "ankle")


@pytest.fixture(scope="module")
def scenes():
    return [shapes.make_scene(seed=11, index=index) for index in range(60)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("shapes")
    assert shapes.generate(path, 6, seed=5, stem="train") == path / "annotations" / "train.json"
    shapes.generate(path, 4, seed=5, stem="val")
    return path


def load(annotation_file):
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(annotation_file)


def test_pixels_and_annotations_of_a_version_never_change(folder):
    digest = hashlib.sha256()
    for stem in ("train", "val"):
        content = json.loads((folder / "annotations" / f"{stem}.json").read_text())
        digest.update(json.dumps(content, sort_keys=True).encode())
        for entry in content["images"]:
            digest.update(np.asarray(Image.open(folder / "images" / entry["file_name"])).tobytes())
    assert shapes.GENERATOR_VERSION == PINNED_VERSION
    assert digest.hexdigest() == PINNED_HASH


def test_scene_depends_on_seed_and_index_alone():
    first = shapes.make_scene(2, 9)
    shapes.make_scene(2, 10)
    again = shapes.make_scene(2, 9)
    np.testing.assert_array_equal(first.image, again.image)
    for one, other in zip(first.objects, again.objects, strict=True):
        np.testing.assert_array_equal(one.mask, other.mask)
    assert (first.image != shapes.make_scene(3, 9).image).any()
    assert (first.image != shapes.make_scene(2, 8).image).any()


def test_counts_sizes_and_overlap(scenes):
    objects = [item for scene in scenes for item in scene.objects]
    counts = [len(scene.objects) for scene in scenes]
    assert min(counts) >= 3 and max(counts) <= 12 and max(counts) - min(counts) >= 7
    assert all(scene.image.shape == (320, 320, 3) for scene in scenes)
    assert {item.name for item in objects} == {entry["name"] for entry in shapes.CATEGORIES}
    sizes = np.array([item.size for item in objects])
    assert sizes.min() >= 16 and sizes.max() <= 200
    assert np.percentile(sizes, 20) < 40 and np.percentile(sizes, 90) > 120
    for item in objects:
        x, y, width, height = item.box
        assert max(width, height) <= item.size
        if item.visible == 1.0:
            assert max(width, height) == item.size
        assert item.visible >= 0.5 and item.mask.sum() >= 48
        assert item.mask[y : y + height, x : x + width].sum() == item.mask.sum()
        assert item.mask[y].any() and item.mask[y + height - 1].any()
        assert item.mask[:, x].any() and item.mask[:, x + width - 1].any()
    for scene in scenes:
        assert sum(item.mask.astype(int) for item in scene.objects).max() == 1
    # Occluded: hidden by another object. Objects that only hide others do not count.
    occluded = np.mean([item.occluded for item in objects])
    assert occluded >= 0.30
    inside = [o for o in objects if o.box[0] > 0 and o.box[1] > 0 and o.box[0] + o.box[2] < 320]
    inside = [o for o in inside if o.box[1] + o.box[3] < 320]
    assert np.mean([item.visible < 0.98 for item in inside]) >= 0.30


def test_objects_and_ground_are_textured_and_share_colours(scenes):
    spread = []
    shared = []
    for scene in scenes:
        image = scene.image.astype(np.float32)
        ground = ~np.any([item.mask for item in scene.objects], axis=0)
        spread.append(image[ground].std(0).max())
        seen = np.unique(image[ground].astype(int) // 32 @ (64, 8, 1))
        for item in scene.objects:
            spread.append(image[item.mask].std(0).max())
            shared.append(np.isin(image[item.mask].astype(int) // 32 @ (64, 8, 1), seen).mean())
    assert min(spread) > 6 and np.median(spread) > 25
    # In cells of 32 levels a channel, many pixels of objects have a colour of the ground.
    assert np.mean(shared) > 0.25


def test_joints_and_their_visibility(scenes):
    figures = [o for scene in scenes for o in scene.objects if o.keypoints is not None]
    assert len(figures) > 30 and all(item.name == "person" for item in figures)
    joints = np.stack([item.keypoints for item in figures])
    x, y, v = np.moveaxis(joints, -1, 0)
    assert joints.shape[1:] == (17, 3) and set(np.unique(v)) == {0, 1, 2}
    assert (x[v == 0] == 0).all() and (y[v == 0] == 0).all()
    assert (joints[..., :2] >= 0).all() and (joints[..., :2] < 320).all()
    assert np.mean(v == 2) > 0.5
    for item in figures:
        for column, row, flag in item.keypoints:
            assert flag != 2 or item.mask[row, column]
    assert [shapes.JOINT_NAMES[0], shapes.JOINT_NAMES[16]] == ["nose", "right_ankle"]
    for left, right in shapes.FLIP_PAIRS:
        assert shapes.JOINT_NAMES[left].replace("left", "right") == shapes.JOINT_NAMES[right]
    assert np.min(shapes.SKELETON) == 1 and np.max(shapes.SKELETON) == 17


def test_left_and_right_limbs_can_be_told_apart():
    right_of_left = lighter = total = 0
    for index in range(40):
        scene = shapes.make_scene(13, index)
        for item in scene.objects:
            if item.keypoints is None:
                continue
            shade = {}
            for side in ("left", "right"):
                places = [item.keypoints[shapes.JOINT_NAMES.index(f"{side}_{n}")] for n in LIMBS]
                shade[side] = [scene.image[y, x].mean() for x, y, v in places if v == 2]
            if not shade["left"] or not shade["right"]:
                continue
            total += 1
            lighter += np.mean(shade["left"]) > np.mean(shade["right"]) + 20
            # It faces the viewer: from the hips up, its left is on the right hand side.
            nose, *pairs = (item.keypoints[k] for k in (0, 5, 6, 11, 12))
            if nose[2] and all(place[2] for place in pairs):
                shoulder = pairs[0][:2] - pairs[1][:2]
                spine = (pairs[0] + pairs[1] - pairs[2] - pairs[3])[:2]
                right_of_left += shoulder[0] * spine[1] - shoulder[1] * spine[0] > 0
    assert total > 25
    assert lighter >= 0.95 * total
    assert right_of_left == 0


def test_coco_file_agrees_with_the_masks(folder):
    coco = load(folder / "annotations" / "train.json")
    assert len(coco.imgs) == 6 and len(coco.anns) >= 18
    ids = sorted(coco.cats)
    assert ids != list(range(ids[0], ids[0] + len(ids))) and len(ids) == 7
    seed = shapes.stem_seed(5, "train")
    for index, (image_id, entry) in enumerate(sorted(coco.imgs.items())):
        scene = shapes.make_scene(seed, index)
        image = np.asarray(Image.open(folder / "images" / entry["file_name"]))
        np.testing.assert_array_equal(image, scene.image)
        annotations = coco.imgToAnns[image_id]
        for item, annotation in zip(scene.objects, annotations, strict=True):
            np.testing.assert_array_equal(coco.annToMask(annotation), item.mask)
            assert annotation["area"] == item.mask.sum() and annotation["iscrowd"] == 0
            assert tuple(annotation["bbox"]) == item.box
            assert coco.cats[annotation["category_id"]]["name"] == item.name
            assert ("keypoints" in annotation) == (item.name == "person")
            if item.name == "person":
                assert annotation["keypoints"] == item.keypoints.ravel().tolist()
                assert annotation["num_keypoints"] == np.sum(item.keypoints[:, 2] > 0)
    person = coco.cats[1]
    assert person["keypoints"] == list(shapes.JOINT_NAMES) and len(person["skeleton"]) == 19


def test_stems_share_a_folder_but_no_scene(folder):
    names = sorted(path.name for path in (folder / "images").iterdir())
    assert names == [
        *(f"train_{index:06d}.png" for index in range(6)),
        *(f"val_{index:06d}.png" for index in range(4)),
    ]
    assert sorted(path.name for path in (folder / "annotations").iterdir()) == [
        "train.json",
        "val.json",
    ]
    pixels = {(folder / "images" / name).read_bytes() for name in names}
    assert len(pixels) == len(names)


def test_other_sizes_and_counts(tmp_path):
    scene = shapes.make_scene(0, 0, 128, min_objects=2, max_objects=2)
    assert scene.image.shape == (128, 128, 3) and len(scene.objects) == 2
    assert all(item.size <= 80 for item in scene.objects)
    shapes.generate(tmp_path, 2, image_size=160, min_objects=1, max_objects=4)
    coco = load(tmp_path / "annotations" / "train.json")
    assert all(entry["width"] == entry["height"] == 160 for entry in coco.imgs.values())
    assert all(1 <= len(coco.imgToAnns[image_id]) <= 4 for image_id in coco.imgs)


def test_bad_arguments_are_named_and_spare_what_is_there(tmp_path):
    annotation_file = shapes.generate(tmp_path, 1, image_size=96, max_objects=3)
    before = annotation_file.read_bytes()
    for arguments, words in (
        ({"num_images": 0}, "num_images"),
        ({"seed": -1}, "seed"),
        ({"stem": "a/b"}, "stem"),
        ({"stem": ""}, "stem"),
        ({"image_size": 64}, "image_size"),
        ({"min_objects": 5, "max_objects": 4}, "min_objects"),
        ({"image_size": 96, "min_objects": 500, "max_objects": 500}, "max_objects"),
    ):
        with pytest.raises(ValueError, match=words):
            shapes.generate(tmp_path, **{"num_images": 1, **arguments})
    assert annotation_file.read_bytes() == before


def test_needs_no_tensorflow():
    code = "import sys, mrcnn_tf.data.shapes; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
