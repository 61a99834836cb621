import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from mrcnn_tf.ops import implementation, mask_targets, roi_align

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "detectron2_units.npz")
TORCHVISION = np.load(Path(__file__).parents[1] / "golden" / "mask_targets.npz")


def pack(*images):
    """Targets of a batch; an image is a list of `(crop, region in pixels)`."""
    most = max(len(objects) for objects in images)
    rows = [
        np.concatenate([np.zeros(0, np.uint8), *(np.packbits(crop.reshape(-1)) for crop, _ in o)])
        for o in images
    ]
    longest = max(len(row) for row in rows)
    shapes = np.zeros((len(images), most, 2), np.int32)
    regions = np.zeros((len(images), most, 4), np.float32)
    for image, objects in enumerate(images):
        for index, (crop, region) in enumerate(objects):
            shapes[image, index], regions[image, index] = crop.shape, region
    return {
        "masks": tf.constant(np.stack([np.pad(row, (0, longest - len(row))) for row in rows])),
        "mask_shapes": tf.constant(shapes),
        "mask_boxes": tf.constant(regions),
    }


def slow_target(crop, region, roi, size, sampling_ratio, aligned=True):
    """One target by loops over single samples; outside the crop the mask is 0."""
    height, width = crop.shape
    target = np.zeros((size, size))

    def pixel(row, column):
        return float(crop[row, column]) if 0 <= row < height and 0 <= column < width else 0.0

    def positions(axis, extent):
        """The samples of each bin, in pixels of the crop."""
        scale = extent / (region[axis + 2] - region[axis])
        start = (roi[axis] - region[axis]) * scale - (0.5 if aligned else 0.0)
        length = (roi[axis + 2] - roi[axis]) * scale
        length = length if aligned else max(length, 1.0)
        count = sampling_ratio or max(int(np.ceil(length / size)), 1)
        for i in range(size):
            yield [start + (i + (j + 0.5) / count) * length / size for j in range(count)]

    for i, ys in enumerate(positions(1, height)):
        for j, xs in enumerate(positions(0, width)):
            for y in ys:
                for x in xs:
                    row, column = int(np.floor(y)), int(np.floor(x))
                    dy, dx = y - row, x - column
                    value = (1 - dy) * (1 - dx) * pixel(row, column)
                    value += (1 - dy) * dx * pixel(row, column + 1)
                    value += dy * (1 - dx) * pixel(row + 1, column)
                    value += dy * dx * pixel(row + 1, column + 1)
                    target[i, j] += value / (len(ys) * len(xs))
    return target


def random_crop(rng, height, width):
    return rng.random((height, width)) < 0.5


def test_equals_a_slow_reference_over_several_objects_and_images(each_implementation):
    rng = np.random.default_rng(0)
    # Crop sizes that are no multiples of 8 bits, so that a wrong offset shows.
    images = [
        [
            (random_crop(rng, 9, 13), (10, 20, 36, 38)),
            (random_crop(rng, 5, 3), (0, 0, 3, 5)),
            (random_crop(rng, 31, 17), (40, 8, 57.5, 70)),
        ],
        [(random_crop(rng, 1, 1), (3, 3, 4, 4)), (random_crop(rng, 12, 40), (5, 5, 45, 17))],
    ]
    rois = np.array(
        [
            [[10, 20, 36, 38], [0, 0, 60, 60], [41, 10, 50, 90], [-4, -3, 2, 2]],
            [[3, 3, 4, 4], [5, 5, 45, 17], [20, 6, 21, 7.5], [100, 100, 120, 130]],
        ],
        np.float32,
    )
    matches = np.array([[0, 1, 2, 1], [0, 1, 1, 1]], np.int32)
    for size, sampling_ratio, aligned in [
        (28, 2, True),
        (7, 1, False),
        (5, 3, True),
        (6, 0, True),
        (9, 0, False),
    ]:
        targets = mask_targets(
            pack(*images), rois, matches, size, sampling_ratio=sampling_ratio, aligned=aligned
        ).numpy()
        assert targets.shape == (2, 4, size, size) and targets.dtype == np.float32
        for image in range(2):
            for index, match in enumerate(matches[image]):
                expected = slow_target(
                    *images[image][match], rois[image, index], size, sampling_ratio, aligned
                )
                np.testing.assert_allclose(targets[image, index], expected, atol=2e-4)
        assert not targets[1, 3].any()  # a RoI wholly outside the object


def test_equals_roi_align_on_the_whole_mask(each_implementation):
    """As long as the object keeps off the image's border, where RoIAlign repeats the edge."""
    rng = np.random.default_rng(1)
    crop = random_crop(rng, 20, 30)
    full = np.zeros((1, 50, 60, 1), np.float32)
    full[0, 12:32, 15:45, 0] = crop
    rois = tf.constant([[[15.0, 12, 45, 32], [10.3, 5.6, 50.2, 40.1], [20.0, 20, 22, 49]]])
    wanted = roi_align([tf.constant(full)], rois, 14, [1], sampling_ratio=2)[..., 0]
    packed = pack([(crop, (15, 12, 45, 32))])
    targets = mask_targets(packed, rois, tf.zeros([1, 3], tf.int32), 14)
    np.testing.assert_allclose(targets, wanted, atol=1e-4)
    # The same object in an image resized by 2 and 3: only regions and RoIs move.
    scale = tf.constant([2.0, 3.0, 2.0, 3.0])
    packed["mask_boxes"] *= scale
    moved = mask_targets(packed, rois * scale, tf.zeros([1, 3], tf.int32), 14)
    np.testing.assert_allclose(moved, targets, atol=1e-4)


def test_binary_targets_are_the_soft_ones_at_one_half(each_implementation):
    rng = np.random.default_rng(2)
    packed = pack([(random_crop(rng, 10, 10), (0, 0, 10, 10))])
    rois, matches = tf.constant([[[0.7, 0.2, 9, 9]]]), tf.zeros([1, 1], tf.int32)
    soft = mask_targets(packed, rois, matches, 28).numpy()
    hard = mask_targets(packed, rois, matches, 28, binary=True).numpy()
    assert len(np.unique(soft)) > 10
    np.testing.assert_array_equal(hard, soft >= 0.5)
    # The left half of a RoI's middle bin is covered: whatever the rounding, half is enough.
    half = pack([(np.ones((9, 9), bool), (0, 0, 9, 9))])
    for at in np.linspace(0.1, 3, 30):
        roi = tf.constant([[[9 - 1.5 * at, 3, 9 + 1.5 * at, 5]]], tf.float32)
        target = mask_targets(half, roi, matches, 3, sampling_ratio=2, binary=True).numpy()
        np.testing.assert_array_equal(target[0, 0, 1], [1, 1, 0], err_msg=str(at))


def test_objects_without_mask_give_zeros_and_shift_nobody(each_implementation):
    rng = np.random.default_rng(3)
    crop, region = random_crop(rng, 6, 7), (2, 3, 9, 9)
    nothing = (np.zeros((0, 0), bool), (0, 0, 0, 0))
    packed = pack([nothing, (crop, region), nothing], [nothing, nothing, nothing])
    rois = tf.constant([[[2.0, 3, 9, 9]] * 3] * 2)
    targets = mask_targets(packed, rois, tf.constant([[0, 1, 2]] * 2), 7).numpy()
    assert not targets[0, [0, 2]].any() and not targets[1].any()
    np.testing.assert_allclose(targets[0, 1], slow_target(crop, region, region, 7, 2), atol=1e-5)
    # No mask in the whole batch: not a byte to read.
    empty = pack([nothing])
    assert empty["masks"].shape == (1, 0)
    assert not mask_targets(empty, rois[:1], tf.zeros([1, 3], tf.int32), 7).numpy().any()


def test_no_gradient_and_unknown_shapes(each_implementation):
    rng = np.random.default_rng(4)
    packed = pack([(random_crop(rng, 8, 8), (0, 0, 8, 8))])
    rois = tf.constant([[[0.3, 0.4, 7, 7]]])
    matches = tf.zeros([1, 1], tf.int32)
    with tf.GradientTape() as tape:
        tape.watch(rois)
        targets = mask_targets(packed, rois, matches, 7)
    assert tape.gradient(targets, rois) is None
    signature = [
        {
            "masks": tf.TensorSpec([None, None], tf.uint8),
            "mask_shapes": tf.TensorSpec([None, None, 2], tf.int32),
            "mask_boxes": tf.TensorSpec([None, None, 4]),
        },
        tf.TensorSpec([None, None, 4]),
        tf.TensorSpec([None, None], tf.int32),
    ]
    traced = tf.function(
        lambda *args: mask_targets(*args, 7), input_signature=signature, autograph=False
    )
    np.testing.assert_allclose(traced(packed, rois, matches), targets, atol=1e-6)
    none = traced(packed, rois[:, :0], matches[:, :0])
    assert none.shape == (1, 0, 7, 7)


def test_equals_torchvision(each_implementation):
    """Its masks are as large as the image, ours as the objects."""
    height, width = 90, 120
    objects = []
    for bits in TORCHVISION["masks_packed"]:
        full = np.unpackbits(bits)[: height * width].reshape(height, width)
        rows, columns = np.nonzero(full)
        x1, y1, x2, y2 = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        objects.append((full[y1:y2, x1:x2] > 0, (x1, y1, x2, y2)))
    targets = mask_targets(
        pack(objects),
        TORCHVISION["rois"][None],
        TORCHVISION["matches"][None],
        28,
        np.array([[height, width]]),
        sampling_ratio=0,
        aligned=False,
    )
    np.testing.assert_allclose(targets[0], TORCHVISION["targets"], atol=2e-5)


def unpack(bits, count, side=28):
    return np.unpackbits(bits, axis=1)[:, : side**2].reshape(count, side, side)


def test_agrees_with_detectron2_on_a_bitmap(each_implementation):
    """BitMasks.crop_and_resize: RoIAlign on the bitmap, at least 0.5 is set.

    Polygons it draws anew at 28 x 28.
    """
    bitmap = np.unpackbits(GOLDEN["maskt.synthetic.bitmap_80x100_packed"]).reshape(80, 100)
    rows, columns = np.nonzero(bitmap)
    top, bottom = rows.min(), rows.max() + 1
    left, right = columns.min(), columns.max() + 1
    packed = pack([(bitmap[top:bottom, left:right] > 0, (left, top, right, bottom))])
    rois = tf.constant(GOLDEN["maskt.synthetic.boxes"][None])
    matches = tf.zeros([1, 4], tf.int32)
    ours = mask_targets(packed, rois, matches, 28, sampling_ratio=0, binary=True)[0].numpy()
    bitmask = unpack(GOLDEN["maskt.synthetic.bitmask_packed"], 4)
    polygon = unpack(GOLDEN["maskt.synthetic.poly_packed"], 4)
    assert bitmask.any(axis=(1, 2)).all()
    assert (ours != bitmask).mean(axis=(1, 2)).max() <= 0.01
    assert (ours != polygon).mean(axis=(1, 2)).max() <= 0.05


def test_agrees_with_a_polygon_drawn_by_pycocotools(each_implementation):
    mask_tools = pytest.importorskip("pycocotools.mask")
    polygon = np.array([10.5, 5.25, 80, 12, 63.3, 84.4, 8, 50])
    draw = lambda points, side: mask_tools.decode(  # noqa: E731
        mask_tools.merge(mask_tools.frPyObjects([points.tolist()], side, side))
    )
    full = draw(polygon, 100)
    rows, columns = np.nonzero(full)
    region = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    crop = full[region[1] : region[3], region[0] : region[2]] > 0
    roi = np.array([5.0, 3.0, 75.0, 88.0])
    targets = mask_targets(
        pack([(crop, region)]), tf.constant(roi[None, None], tf.float32), [[0]], 28
    )[0, 0].numpy()
    # The polygon in the RoI's own coordinates, at 28 x 28 and at 16 times the resolution.
    local = (polygon.reshape(-1, 2) - roi[:2]) / (roi[2:] - roi[:2])
    fine = draw((local * 28 * 16).reshape(-1), 28 * 16).reshape(28, 16, 28, 16).mean(axis=(1, 3))
    assert abs(targets.sum() - fine.sum()) / fine.sum() < 0.01
    assert np.abs(targets - fine).mean() < 0.02
    coarse = draw((local * 28).reshape(-1), 28)
    assert ((targets >= 0.5) != coarse).mean() < 0.05


@pytest.mark.skipif("MRCNN_TF_DATA" not in os.environ, reason="MRCNN_TF_DATA is not set")
def test_agrees_with_detectron2_on_coco_annotations(each_implementation):
    """Its polygons are drawn at 28 x 28, our bitmaps at the photo's resolution and then pooled."""
    coco = pytest.importorskip("pycocotools.coco")
    ids = GOLDEN["maskt.ann_ids"].tolist()
    index = None
    for path in sorted(Path(os.environ["MRCNN_TF_DATA"]).rglob("annotations/*.json")):
        candidate = coco.COCO(str(path))
        if set(ids) <= set(candidate.anns):
            index = candidate
            break
    if index is None:
        pytest.skip("MRCNN_TF_DATA holds no file with the annotations named in maskt.ann_ids")
    objects = []
    for annotation in index.loadAnns(ids):
        full = index.annToMask(annotation)
        rows, columns = np.nonzero(full)
        region = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        objects.append((full[region[1] : region[3], region[0] : region[2]] > 0, region))
    packed = pack(objects)
    for case in ("own", "moved"):
        rois = tf.constant(GOLDEN[f"maskt.{case}.boxes"][None])
        ours = mask_targets(packed, rois, tf.range(len(ids))[None], 28, binary=True)[0].numpy()
        theirs = unpack(GOLDEN[f"maskt.{case}.packed"], len(ids))
        both = np.logical_and(ours, theirs).sum(axis=(1, 2))
        either = np.logical_or(ours, theirs).sum(axis=(1, 2))
        iou = both / np.maximum(either, 1)
        assert iou.mean() > 0.95, iou
        assert iou.min() > 0.85, iou


def test_a_mask_at_the_border_of_its_image_goes_on(each_implementation):
    """A full mask in the upper left corner of an 8 x 8 image, pooled in its own box."""
    targets = {
        "masks": np.packbits(np.ones(16, np.uint8))[None],
        "mask_shapes": np.array([[[4, 4]]], np.int32),
        "mask_boxes": np.array([[[0, 0, 4, 4]]], np.float32),
    }
    rois, matches = targets["mask_boxes"], np.zeros((1, 1), np.int32)
    alone = mask_targets(targets, rois, matches, 8).numpy()[0, 0]
    assert alone[0, 4] < 1 and alone[4, 0] < 1
    inside = mask_targets(targets, rois, matches, 8, np.array([[8, 8]])).numpy()[0, 0]
    np.testing.assert_array_equal(inside[:7, :7], 1)
    assert inside[7, 4] < 1 and inside[4, 7] < 1
    filled = mask_targets(targets, rois, matches, 8, np.array([[4, 4]])).numpy()
    np.testing.assert_array_equal(filled, 1)


HOSTILE = np.array(
    [
        [np.nan, 0, 10, 10],
        [0, 0, np.inf, 10],
        [-3e38, -3e38, 3e38, 3e38],
        [0, 0, 1e9, 1e9],
        [30, 30, 10, 10],
        [10, 10, 10, 10],
        [-100, -100, -50, -50],
        [0, 0, 20, 0.001],
    ],
    np.float32,
)


def test_compiled_equals_plain(compiled_ops, rng):
    for sampling_ratio, aligned, binary, sized in [
        (2, True, False, True),
        (2, True, True, False),
        (3, False, False, True),
        (0, False, False, True),
        (0, True, True, False),
    ]:
        images = []
        for _ in range(2):
            objects = []
            for _ in range(4):
                height, width = rng.integers(0, 40, 2)
                x, y = rng.integers(0, 40, 2)
                region = np.array([x, y, x + width, y + height]) * rng.choice([0.5, 1, 1.7])
                objects.append((rng.random((height, width)) < 0.8, region))
            images.append(objects)
        packed = pack(*images)
        corners = rng.uniform(-5, 60, [2, 40, 2, 2])
        rois = np.concatenate([corners.min(2), corners.max(2)], -1).astype(np.float32)
        if sampling_ratio:  # adapted to them, the plain version takes ages
            rois[:, :8] = HOSTILE
            packed["mask_boxes"] = tf.tensor_scatter_nd_update(
                packed["mask_boxes"], [[0, 0], [1, 1]], HOSTILE[[0, 2]]
            )
        matches = rng.integers(0, 4, [2, 40]).astype(np.int32)
        sizes = np.array([[50, 64], [40, 40]]) if sized else None
        results = []
        for name in ("plain", "compiled"):
            with implementation(name):
                arguments = (packed, rois, matches, 13, sizes, sampling_ratio, binary, aligned)
                results.append(mask_targets(*arguments).numpy())
        assert np.isfinite(results[0]).all() and results[0].any()
        np.testing.assert_allclose(results[1], results[0], atol=0 if binary else 2e-6)


def test_wrong_arguments_are_named(each_implementation):
    packed = pack([(np.ones((5, 5), bool), (0, 0, 5, 5))])
    rois, matches = tf.zeros([1, 2, 4]), tf.zeros([1, 2], tf.int32)
    with pytest.raises(ValueError, match="rois must end in a dimension of 4"):
        mask_targets(packed, tf.zeros([1, 2, 5]), matches, 7)
    with pytest.raises(ValueError, match="sampling_ratio must be 0 or more, got -1"):
        mask_targets(packed, rois, matches, 7, sampling_ratio=-1)
    with pytest.raises(ValueError, match="size must be positive, got 0"):
        mask_targets(packed, rois, matches, 0)
    with pytest.raises(ValueError, match="masks must be uint8, bit-packed, got float32"):
        mask_targets({**packed, "masks": tf.zeros([1, 4])}, rois, matches, 7)


def test_compiled_op_checks_what_is_known_only_at_run_time(compiled_ops):
    packed = pack([(np.ones((5, 5), bool), (0, 0, 5, 5))])
    rois, matches = tf.ones([1, 2, 4]), tf.zeros([1, 2], tf.int32)
    unknown = {"masks": [None] * 2, "mask_shapes": [None] * 3, "mask_boxes": [None] * 3}
    dtypes = {"masks": tf.uint8, "mask_shapes": tf.int32, "mask_boxes": tf.float32}

    @tf.function(
        input_signature=[
            {name: tf.TensorSpec(shape, dtypes[name]) for name, shape in unknown.items()},
            tf.TensorSpec([None] * 3),
            tf.TensorSpec([None] * 2, tf.int32),
        ]
    )
    def pool(targets, rois, matches):
        with implementation("compiled"):
            return mask_targets(targets, rois, matches, 7)

    for changed, of_rois, of_matches, message in [
        ({"masks": packed["masks"][:, :3]}, rois, matches, "masks must hold every crop"),
        ({"mask_shapes": -packed["mask_shapes"]}, rois, matches, "mask_shapes must not be neg"),
        ({"mask_boxes": tf.zeros([1, 2, 4])}, rois, matches, r"mask_boxes must be \[1,1,4\]"),
        ({}, rois, matches + 1, "matches must be below the number of objects, 1, .* got 1"),
        ({}, rois, matches - 1, "matches .* not negative, got -1"),
        ({}, rois, matches[:, :1], r"matches must be \[1,2\]"),
        ({}, rois[..., :3], matches, r"rois must be \[1,2,4\]"),
    ]:
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            pool({**packed, **changed}, of_rois, of_matches)
