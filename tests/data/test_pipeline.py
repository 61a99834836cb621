import itertools

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mrcnn_tf import data
from mrcnn_tf.data.augmentation import Augmentation, draw
from mrcnn_tf.data.instance_masks import unpack_crops
from mrcnn_tf.ops import RESIZE_METHODS, resize_image
from tests.data.coco_folder import NATIVE, CocoFolder, blob, photo, random_folder, rows

TURNS = [
    lambda a, h=h, v=v, t=t: (lambda b: b.swapaxes(0, 1) if t else b)(
        a[:: -1 if v else 1, :: -1 if h else 1]
    )
    for h, v, t in itertools.product((False, True), repeat=3)
]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return random_folder(tmp_path_factory.mktemp("data") / "coco", num_images=7).write()


def assert_same_stream(first, second):
    first, second = list(rows(first)), list(rows(second))
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        for name in a:
            np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def masks_of(row):
    """The masks of an image at its own size (not resized), bool [H, W] each."""
    masks = []
    for crop, box in zip(
        unpack_crops(row["masks"], row["mask_shapes"]), row["mask_boxes"].astype(int), strict=True
    ):
        mask = np.zeros(row["image"].shape[:2], bool)
        if crop is not None:
            mask[box[1] : box[3], box[0] : box[2]] = crop
        masks.append(mask)
    return masks


def test_an_element_has_the_documented_shapes_types_and_padding(files):
    dataset = data.coco(*files, batch_size=3, size=NATIVE, max_objects=6)
    spec_x, spec_y = dataset.element_spec
    assert spec_x["images"].shape.as_list() == [None, None, None, 3]
    expected = {
        "images": tf.uint8,
        "image_sizes": tf.int32,
        "boxes": tf.float32,
        "classes": tf.int32,
        "is_crowd": tf.bool,
        "image_id": tf.int64,
        "masks": tf.uint8,
        "mask_shapes": tf.int32,
        "mask_boxes": tf.float32,
    }
    assert {k: v.dtype for k, v in {**spec_x, **spec_y}.items()} == expected
    assert spec_y["mask_boxes"].shape.as_list() == [None, 6, 4]
    assert int(dataset.cardinality()) == 3

    (x, y), *_, (last, _) = dataset
    assert x["images"].shape == (3, 64, 64, 3) and last["images"].shape == (1, 64, 64, 3)
    assert x["image_sizes"].numpy().tolist() == [[40, 56], [56, 40], [40, 56]]
    assert y["classes"].numpy().tolist() == [[0, 1, 0, 1, -1, -1]] * 3
    assert y["image_id"].numpy().tolist() == [10, 11, 12]
    for name in ("boxes", "mask_boxes", "mask_shapes"):
        assert not y[name].numpy()[:, 4:].any() and y[name].numpy()[:, :4].any(axis=-1).all()
    for row in rows(dataset):
        assert row["padding"] == 0
        used = ((row["mask_shapes"].prod(axis=1) + 7) // 8).sum()
        assert not row["masks"][used:].any()
    assert dataset.source.num_classes == 2 and dataset.skipped == {}


def test_flips_and_transpose_move_masks_boxes_and_pixels_alike(files):
    dataset = data.coco(
        *files,
        batch_size=2,
        size=NATIVE,
        flip=True,
        vertical_flip=True,
        transpose=True,
        max_objects=None,
        repeat=4,
    )
    coco = dataset.source.coco
    turns_seen = set()
    for row in rows(dataset):
        image_id = int(row["image_id"])
        original = np.asarray(Image.open(dataset.source.path(image_id)))
        turns = [
            i
            for i, turn in enumerate(TURNS)
            if turn(original).shape == row["image"].shape and (turn(original) == row["image"]).all()
        ]
        assert len(turns) == 1
        turns_seen.update(turns)
        turn = TURNS[turns[0]]
        masks = masks_of(row)
        annotations = dataset.source.annotations(image_id)
        assert len(masks) == len(annotations) == 4
        for mask, box, annotation in zip(masks, row["boxes"], annotations, strict=True):
            expected = turn(coco.annToMask(annotation).astype(bool))
            np.testing.assert_array_equal(mask, expected)
            y, x = np.nonzero(expected)
            np.testing.assert_array_equal(box, [x.min(), y.min(), x.max() + 1, y.max() + 1])
    assert turns_seen == set(range(8))


@pytest.mark.parametrize("size", [(97, 131), 23, (31, 300)])
def test_an_object_stays_under_its_mask_and_in_its_box_when_resized(files, size):
    augmentation = Augmentation(True, True, True)
    dataset = data.coco(
        *files, batch_size=2, size=size, flip=True, vertical_flip=True, transpose=True, seed=5
    )
    coco = dataset.source.coco
    for row in rows(dataset):
        image_id = int(row["image_id"])
        choices = draw(augmentation, 5, 0, image_id)
        height, width = row["image_sizes"][::-1] if choices.transpose else row["image_sizes"]
        sides = sorted((height, width))
        limits = (size, size) if isinstance(size, int) else size
        assert sides[0] == limits[0] or sides[1] == limits[1]
        assert sides[0] <= limits[0] and sides[1] <= limits[1]
        for i, annotation in enumerate(dataset.source.annotations(image_id)):
            mask = coco.annToMask(annotation).astype(bool)
            y, x = np.mgrid[: mask.shape[0], : mask.shape[1]]
            x = (x + 0.5) * width / mask.shape[1]
            y = (y + 0.5) * height / mask.shape[0]
            x = width - x if choices.flip else x
            y = height - y if choices.vertical_flip else y
            x, y = (y, x) if choices.transpose else (x, y)
            x1, y1, x2, y2 = row["boxes"][i]
            inside = (x > x1) & (x < x2) & (y > y1) & (y < y2)
            assert inside[mask].all()

            crop = unpack_crops(row["masks"], row["mask_shapes"])[i]
            x1, y1, x2, y2 = row["mask_boxes"][i].astype(np.float64)
            column = np.floor((x - x1) / (x2 - x1) * crop.shape[1]).astype(int)
            line = np.floor((y - y1) / (y2 - y1) * crop.shape[0]).astype(int)
            covered = (line >= 0) & (line < crop.shape[0])
            covered &= (column >= 0) & (column < crop.shape[1])
            found = np.zeros_like(mask)
            found[covered] = crop[line[covered], column[covered]]
            np.testing.assert_array_equal(found, mask)


def test_drop_empty_leaves_out_images_without_objects_or_with_crowds_only(tmp_path):
    folder = CocoFolder(tmp_path / "data")
    for image_id in (1, 2, 3):
        folder.add_image(image_id, photo(*NATIVE))
    folder.add_object(1, blob(*NATIVE, 1), iscrowd=1)
    files = folder.write()
    with pytest.raises(ValueError, match="drop_empty=True leaves none"):
        data.coco(*files, drop_empty=True)
    folder.add_object(2, blob(*NATIVE, 1))
    files = folder.write()
    dataset = data.coco(*files, size=NATIVE, drop_empty=True)
    assert [int(r["image_id"]) for r in rows(dataset)] == [2]
    assert int(dataset.cardinality()) == 1
    assert dataset.skipped == {"image without objects": 2}
    assert [int(r["image_id"]) for r in rows(data.coco(*files, size=NATIVE))] == [1, 2, 3]


def test_fixed_canvas(files):
    dataset = data.coco(*files, batch_size=2, size=40, pad_to=(48, 50), transpose=True)
    assert dataset.element_spec[0]["images"].shape.as_list() == [None, 48, 50, 3]
    for row in rows(dataset):
        assert row["images"].shape == (48, 50, 3) and row["padding"] == 0
        assert max(row["image_sizes"]) == 40
    message = r"0011\.png \(id 11\) is 56 x 40 .*does not fit pad_to=\(48, 64\)"
    with pytest.raises(ValueError, match=message):
        data.coco(*files, size=NATIVE, pad_to=(48, 64))
    data.coco(*files, size=NATIVE, pad_to=(48, 64), image_ids=[10])
    with pytest.raises(ValueError, match=r"0010\.png \(id 10\) is 56 x 40"):
        data.coco(*files, size=NATIVE, pad_to=(48, 64), image_ids=[10], transpose=True)


@pytest.mark.parametrize("method", RESIZE_METHODS)
def test_images_are_resized_as_the_model_does(files, method):
    dataset = data.coco(*files, size=(23, 31), image_resize=method)
    for row in rows(dataset):
        image = data.read_image(dataset.source.path(int(row["image_id"])))
        expected = resize_image(image, 23, 31, method).numpy()
        assert row["image"].dtype == np.uint8 and row["image"].shape == expected.shape
        assert np.abs(row["image"] - expected.astype(np.float32)).max() <= 0.5
    shapes = {tuple(row["image_sizes"]) for row in rows(dataset)}
    assert shapes == {(22, 31), (31, 22)}


def test_large_scale_jitter_scales_then_cuts_or_pads(files):
    dataset = data.coco(
        *files, batch_size=2, size=NATIVE, scale_jitter=(0.5, 2.0), pad_to=(40, 40), repeat=5
    )
    coco = dataset.source.coco
    augmentation = Augmentation(scale_jitter=(0.5, 2.0))
    cut = left_out = 0
    for i, row in enumerate(rows(dataset)):
        image_id = int(row["image_id"])
        scale = draw(augmentation, 0, i // 7, image_id).scale
        height, width = row["image_sizes"]
        original = coco.imgs[image_id]
        for side, name in ((height, "height"), (width, "width")):
            assert side == 40 or abs(side - original[name] * scale) <= 1
        cut += height == 40 and width == 40
        count = int((row["classes"] >= 0).sum())
        left_out += 4 - count
        boxes = row["boxes"][:count]
        assert (boxes[:, 2:] > boxes[:, :2]).all() and (boxes >= 0).all()
        assert (boxes <= [width, height, width, height]).all()
        pixel = row["mask_boxes"][:count, 2:] - row["mask_boxes"][:count, :2]
        pixel = (pixel / row["mask_shapes"][:count, ::-1]).max() if count else 0
        reach = row["mask_boxes"][:count]
        assert (reach > -pixel).all()
        assert (reach < np.array([width, height, width, height]) + pixel).all()
        for crop in unpack_crops(row["masks"], row["mask_shapes"])[:count]:
            assert crop.any()
    assert 5 < cut < 35 and left_out > 3


def test_mask_size_brings_all_masks_to_one_shape(files):
    exact = rows(data.coco(*files, size=NATIVE))
    resampled = rows(data.coco(*files, size=NATIVE, mask_size=28))
    for row, reference in zip(resampled, exact, strict=True):
        assert row["mask_shapes"][:4].tolist() == [[28, 28]] * 4
        assert len(row["masks"]) == 4 * 28 * 28 // 8
        np.testing.assert_array_equal(row["mask_boxes"], reference["mask_boxes"])


def test_targets_of_two_photos_with_100_large_objects_stay_under_100_megabytes(tmp_path):
    folder = CocoFolder(tmp_path / "data")
    mask = np.ones((480, 640), bool)
    for image_id in (1, 2):
        folder.add_image(image_id, photo(480, 640), name=f"{image_id}.jpg")
        for _ in range(100):
            folder.add_object(image_id, mask)
    ((_, y),) = data.coco(*folder.write(), batch_size=2, size=(800, 1333))
    assert (y["classes"].numpy() == 0).sum() == 200
    size = sum(value.numpy().nbytes for value in y.values())
    assert 2 * 100 * 480 * 640 / 8 < size < 10e6


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, "batch_size must be an integer of at least 1, got 0"),
        ({"max_objects": 0}, "max_objects must be"),
        ({"mask_size": 0}, "mask_size must be"),
        ({"seed": -1}, "seed must be an integer of at least 0, got -1"),
        ({"seed": 1.5}, "seed must be an integer"),
        ({"initial_epoch": -1}, "initial_epoch must be"),
        ({"initial_step": -1}, "initial_step must be"),
        ({"shard": (2, 2)}, r"shard must be \(index, count\).*got \(2, 2\)"),
        ({"bucket_by_aspect_ratio": (2, 1)}, "bucket_by_aspect_ratio must be .*increasing"),
        ({"bucket_by_aspect_ratio": True, "pad_to": (99, 99)}, "all batches have one shape"),
        ({"repeat": 0}, "repeat must be"),
        ({"size": (800, 600)}, r"size must be .*got \(800, 600\)"),
        ({"size": 0}, "size must be"),
        ({"scale_jitter": (2.0, 1.0)}, "scale_jitter must be"),
        ({"scale_jitter": (0.0, 1.0)}, "scale_jitter must be"),
        ({"pad_to": (0, 100)}, "pad_to must be"),
        ({"image_resize": "nearest"}, "image_resize is one of .*; got 'nearest'"),
    ],
)
def test_arguments_out_of_range(files, settings, message):
    with pytest.raises(ValueError, match=message):
        data.coco(*files, **settings)


def test_a_dataset_can_be_given_in_place_of_the_files(files):
    dataset = data.CocoDataset(*files, image_ids=3)
    batches = data.coco(dataset, batch_size=2, size=NATIVE)
    assert batches.source is dataset
    assert_same_stream(batches, data.coco(*files, batch_size=2, size=NATIVE, image_ids=3))
    with pytest.raises(ValueError, match="belong to the CocoDataset"):
        data.coco(dataset, image_ids=2)
    with pytest.raises(ValueError, match="annotations .* must be given"):
        data.coco(files[0])


EVERYTHING = {
    "flip": True, "vertical_flip": True, "transpose": True, "crop": (0.6, 1.0), "rotation": 20.0,
    "translation": 0.1, "brightness": 0.3, "contrast": 0.3, "saturation": 0.3, "hue": 0.1,
    "erasing": 0.5, "copy_paste": 0.6, "mosaic": 0.4,
}  # fmt: skip


@pytest.mark.parametrize(
    "settings", [{"scale_jitter": (0.5, 1.5), "pad_to": (48, 64)}, {"short_sides": range(30, 50)}]
)
def test_all_augmentation_is_the_same_whatever_reads(files, settings, tmp_path):
    settings = {"size": NATIVE, "max_objects": None, **EVERYTHING, **settings}
    settings |= {"batch_size": 2, "repeat": 3}
    plain = data.coco(*files, **settings)
    counts = np.sort(plain.source.object_counts())
    assert plain.element_spec[1]["classes"].shape[1] == counts[-5:].sum()
    assert_same_stream(plain, data.coco(*files, cache=tmp_path / "cache", **settings))
    rest = data.coco(*files, cache=True, initial_step=5, **settings)
    assert_same_stream(data.coco(*files, **settings).skip(5), rest)
    for row in rows(plain):
        count = int((row["classes"] >= 0).sum())
        height, width = row["image_sizes"]
        boxes = row["boxes"][:count]
        assert (boxes[:, 2:] > boxes[:, :2]).all() and (boxes >= 0).all()
        assert (boxes <= [width, height, width, height]).all()
        assert not row["boxes"][count:].any()


def test_one_of_the_short_sides_is_drawn(files):
    dataset = data.coco(*files, size=(40, 70), short_sides=(30, 40), repeat=8)
    sides = [min(row["image_sizes"]) for row in rows(dataset)]
    assert set(sides) == {30, 40} and 18 < sides.count(30) < 38
    limited = data.coco(*files, size=(40, 50), short_sides=(40,))
    assert {max(row["image_sizes"]) for row in rows(limited)} == {50}
    with pytest.raises(ValueError, match=r"is 40 x 56 .*does not fit pad_to=\(36, 64\)"):
        data.coco(*files, size=(30, 99), short_sides=(20, 40), pad_to=(36, 64), image_ids=[10])
