import numpy as np
import pytest
import tensorflow as tf

from mrcnn_tf.data import CocoDataset, coco
from mrcnn_tf.data.keypoints import mirrored_order, read_keypoints
from mrcnn_tf.data.transforms import crop, flip_horizontal, flip_vertical, rescale, transpose
from tests.data.coco_folder import CocoFolder, blob, photo, rows
from tests.data.test_transforms import sample_of
from tests.models.tiny import tiny_model

NAMES = ["nose", "left_eye", "right_eye"]
JOINTS = np.float32([[4, 5, 2], [20, 12, 1], [0, 0, 0]])  # pixels x, y and visibility, as in COCO


def test_reading():
    found = read_keypoints({"keypoints": JOINTS.reshape(-1).tolist()}, 3)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, [[4.5, 5.5, 2], [20.5, 12.5, 1], [0, 0, 0]])
    for nothing in ({}, {"keypoints": None}, {"keypoints": []}):
        np.testing.assert_array_equal(read_keypoints(nothing, 3), np.zeros([3, 3]))
    for wrong in ([1, 2], [1, 2, 2] * 4, ["1"] * 9, [float("nan")] * 9, 5):
        with pytest.raises(ValueError, match="must be 3 times three finite numbers"):
            read_keypoints({"keypoints": wrong}, 3)


def test_sides_change_in_a_mirror():
    names = [*NAMES, "wristRight", "wristLeft", "left_tail", "tail"]
    np.testing.assert_array_equal(mirrored_order(names), [0, 2, 1, 4, 3, 5, 6])
    with_case = ["right hand", "head", "left hand"]
    np.testing.assert_array_equal(mirrored_order(with_case), [2, 1, 0])


def joints_in_pixels():
    """Two objects whose joints lie on pixels of their own value."""
    masks = [blob(30, 47, seed) for seed in range(2)]
    image = np.zeros((30, 47, 3), np.uint8)
    places = np.array([[[3, 4], [40, 7], [12, 29]], [[46, 0], [21, 15], [5, 20]]])
    for value, (x, y) in enumerate(places.reshape(-1, 2), start=1):
        image[y, x] = value
    visibility = np.full([2, 3, 1], 2)
    keypoints = np.concatenate([places + 0.5, visibility], axis=-1).astype(np.float32)
    keypoints[1, 2] = 0
    order = mirrored_order(NAMES)
    sample = sample_of(masks, image)
    return sample.__class__(**{**vars(sample), "keypoints": keypoints, "mirrored_joints": order})


def values_under(sample):
    """The value of the pixel at every joint, 0 where it is not annotated."""
    x, y = np.floor(sample.keypoints[..., :2]).astype(int).transpose(2, 0, 1)
    values = sample.image[y, x, 0].astype(int)
    return np.where(sample.keypoints[..., 2] > 0, values, 0)


@pytest.mark.parametrize("move", [flip_horizontal, flip_vertical, transpose])
def test_mirrors_move_joints_with_their_pixels_and_swap_sides(move):
    before = joints_in_pixels()
    np.testing.assert_array_equal(values_under(before), [[1, 2, 3], [4, 5, 0]])
    after = move(before)
    np.testing.assert_array_equal(values_under(after), [[1, 3, 2], [4, 0, 5]])
    assert not after.keypoints[1, 1].any()
    np.testing.assert_array_equal(move(after).keypoints, before.keypoints)


def test_scales_and_crops_move_joints():
    before = joints_in_pixels()
    larger = rescale(before, np.zeros((60, 141, 3), np.uint8))
    np.testing.assert_allclose(larger.keypoints, before.keypoints * [3, 2, 1])
    whole = crop(before, 0, 0, 30, 47)
    np.testing.assert_array_equal(whole.keypoints, before.keypoints[: len(whole.classes)])
    cut = crop(before, 2, 3, 20, 30)
    kept = values_under(cut)
    assert len(kept) > 0 and set(kept.ravel()) <= {0, 1, 5}
    inside = cut.keypoints[cut.keypoints[..., 2] > 0]
    assert len(inside) and (inside[:, 0] < 30).all() and (inside[:, 1] < 20).all()
    assert not cut.keypoints[cut.keypoints[..., 2] == 0].any()


@pytest.fixture
def folder(tmp_path):
    """An image of one object with joints, one without, and one of a class that has none."""
    made = CocoFolder(tmp_path / "joints")
    made.categories = [{"id": 3, "name": "person", "keypoints": NAMES}, {"id": 7, "name": "dog"}]
    for image in (1, 2):
        made.add_image(image, photo(40, 56, seed=image))
        mask = np.zeros((40, 56), bool)
        mask[2:20, 3:30] = True
        made.add_object(image, mask, keypoints=JOINTS.reshape(-1).tolist(), num_keypoints=2)
        made.add_object(image, blob(40, 56, 2))
        made.add_object(image, blob(40, 56, 3), category_id=7)
    return made


def test_batches(folder, tmp_path):
    paths = folder.write()
    options = {"size": (80, 112), "max_objects": 4, "keypoints": True}
    dataset = coco(*paths, **options)
    assert dataset.source.keypoint_names == NAMES
    for row in rows(dataset):
        assert row["keypoints"].shape == (4, 3, 3) and row["keypoints"].dtype == np.float32
        np.testing.assert_allclose(row["keypoints"][0], [[9, 11, 2], [41, 25, 1], [0, 0, 0]])
        assert not row["keypoints"][1:].any()
    for cache in (True, tmp_path / "cache"):
        augmented = {**options, "flip": True, "shuffle": True, "repeat": 4}
        first, again = (list(rows(coco(*paths, cache=c, **augmented))) for c in (cache, False))
        for row, expected in zip(first, again, strict=True):
            np.testing.assert_array_equal(row["keypoints"], expected["keypoints"])
        assert len({row["keypoints"].tobytes() for row in first}) == 2  # mirrored and not
    without = coco(*paths, **{**options, "keypoints": False})
    assert "keypoints" not in without.element_spec[1]


def test_a_model_learns_from_batches(folder):
    x, y = next(iter(coco(*folder.write(), 2, 64, max_objects=4, keypoints=True)))
    model = tiny_model(num_classes=2, keypoints=3)
    losses = model.compute_losses(x, y)
    assert 0 < float(losses["keypoint_loss"]) < 20


def test_faults(folder):
    folder.annotations[0]["keypoints"] = [1, 2, 2]
    paths = folder.write()
    with pytest.raises(
        tf.errors.InvalidArgumentError, match="annotation 1 of image 1: `keypoints`"
    ):
        list(coco(*paths, keypoints=True))
    with pytest.warns(UserWarning, match="annotation with malformed keypoints"):
        skipping = coco(*paths, keypoints=True, on_error="skip")
        found = list(rows(skipping))
    assert skipping.skipped == {"annotation with malformed keypoints": 1}
    assert (found[0]["classes"] >= 0).sum() == 2
    assert len(list(coco(*paths))) == 2  # nobody asked for joints
    folder.categories[1]["keypoints"] = NAMES[:2]
    paths = folder.write()
    with pytest.raises(ValueError, match="a category has other joints than another"):
        coco(*paths, keypoints=True)
    assert CocoDataset(*paths, category_ids=[7]).keypoint_names == NAMES[:2]
    for category in folder.categories:
        category.pop("keypoints")
    with pytest.raises(ValueError, match="train.json: no category has joints"):
        coco(*folder.write(), keypoints=True)
