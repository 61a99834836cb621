"""Random hostile cases: every compiled op against its plain twin, through TensorFlow.

A failure names the op, the seed and the arguments; `run_case("nms", 17)` repeats it.
"""

import numpy as np
import pytest
import tensorflow as tf
from pycocotools import mask as mask_utils

from mrcnn_tf import ops
from tests.ops.test_mask_targets import pack
from tests.ops.test_proposals import make_hostile, rpn_outputs
from tests.ops.test_rasterize_polygons import random_polygon

CASES = 20  # of each op in the default run
SLOW_CASES = 5000  # of all ops together
GRAPH_EVERY = 6  # one case in so many calls the compiled op inside a tf.function

ODD_BOXES = np.array(
    [
        [np.nan, 0, 10, 10],
        [0, 0, 10, np.nan],
        [0, -np.inf, np.inf, 10],
        [-3e38, -3e38, 3e38, 3e38],
        [-1e18, -1e18, 1e18, 1e18],
        [0, 0, 1e9, 1e9],
        [5e9, 5e9, 6e9, 7e9],
        [-6e9, 3, -5e9, 9],
        [30, 30, 10, 10],
        [10, 10, 10, 10],
        [10, 3, 10, 25],
        [-100, -100, -50, -50],
        [-20, -20, 70, 70],
        [0, 0, 20, 1e-3],
        [4, 4, 4 + 1e-6, 9],
        [1e-30, 1e-30, 1e-20, 1e-20],
    ],
    np.float32,
)
ODD_SCORES = np.array([np.nan, np.inf, -np.inf, 0, -0.0, -3, 3e38, 1e-40], np.float32)


def replace_some(rng, values, choices):
    """Puts rows of `choices` into about every seventh place of `values [..., row]`."""
    chosen = rng.random(values.shape[: values.ndim - choices.ndim + 1]) < 0.15
    values[chosen] = choices[rng.integers(0, len(choices), chosen.sum())]
    return values


def some_boxes(rng, leading, extent=60.0):
    """Boxes `[*leading, 4]`, on whole pixels in half the cases, with duplicates and odd ones."""
    corners = rng.uniform(-10, extent, [*leading, 2])
    boxes = np.concatenate([corners, corners + rng.uniform(0, extent / 2, [*leading, 2])], -1)
    boxes = (np.round(boxes) if rng.random() < 0.5 else boxes).astype(np.float32)
    if boxes.size:
        boxes = replace_some(rng, boxes, boxes.reshape(-1, 4)[:3])
    return replace_some(rng, boxes, ODD_BOXES) if rng.random() < 0.8 else boxes


def batch_and_count(rng, most=40):
    """Sizes, of which either is 0 now and then."""
    return int(rng.choice([0, 1, 2, 3], p=[0.05, 0.4, 0.35, 0.2])), int(
        rng.choice([0, 1, rng.integers(2, most)], p=[0.05, 0.1, 0.85])
    )


def exact(plain, compiled):
    for one, other in zip(plain, compiled, strict=True):
        np.testing.assert_array_equal(other, one)


def close(relative):
    """Equal up to the rounding of sums, relative to the largest magnitude or 1."""

    def check(plain, compiled):
        for one, other in zip(plain, compiled, strict=True):
            one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
            tolerance = relative * max(1.0, np.abs(one).max(initial=0.0))
            np.testing.assert_allclose(other, one, rtol=0, atol=tolerance)

    return check


def roi_align(rng):
    batch, count = batch_and_count(rng, 20)
    sampling_ratio = int(rng.choice([0, 1, 2, 3], p=[0.15, 0.25, 0.35, 0.25]))
    sides = rng.integers(1, 5 if sampling_ratio == 0 else 14, 2)
    channels, levels = int(rng.choice([1, 3, 8, 17, 33])), int(rng.integers(1, 4))
    dtype = tf.as_dtype(rng.choice(["float32", "float32", "float16", "bfloat16"]))
    stride = int(rng.choice([1, 4, 8]))
    options = {
        "output_size": tuple(int(n) for n in rng.integers(1, 5, 2)),
        "strides": [stride << i for i in range(levels)],
        "sampling_ratio": sampling_ratio,
        "aligned": bool(rng.random() < 0.5),
        "canonical_size": float(rng.choice([16, 60, 224])),
        "canonical_level": int(rng.integers(0, 5)),
    }
    pyramid = [
        tf.cast(rng.normal(size=[batch, *(int(s) for s in sides + i), channels]), dtype)
        for i in range(levels)
    ]
    boxes = some_boxes(rng, [batch, count])
    weights = tf.cast(rng.normal(size=[batch, count, *options["output_size"], channels]), dtype)

    def call(pyramid, boxes, weights):
        with tf.GradientTape() as tape:
            tape.watch(pyramid)
            pooled = ops.roi_align(pyramid, boxes, **options)
        gradients = tape.gradient(
            pooled, pyramid, output_gradients=weights, unconnected_gradients="zero"
        )
        results = [pooled, *(tf.convert_to_tensor(gradient) for gradient in gradients)]
        return [tf.cast(values, tf.float32) for values in results]

    # Half precision rounds once, of sums that may lie on either side of a step.
    relative = {tf.float32: 1e-5, tf.float16: 2.0**-10, tf.bfloat16: 2.0**-7}[dtype]
    return call, (pyramid, boxes, weights), close(relative), {**options, "dtype": dtype.name}


def suppression_inputs(rng):
    batch, count = batch_and_count(rng)
    scores = (rng.integers(0, 20, [batch, count]) / 20).astype(np.float32)
    return some_boxes(rng, [batch, count]), replace_some(rng, scores, ODD_SCORES)


def nms(rng):
    boxes, scores = suppression_inputs(rng)
    # One class an image: the plain version moves several apart, which costs coordinates bits.
    classes = np.zeros(scores.shape, np.int32) + rng.integers(-3, 90, [len(scores), 1])
    options = {
        "iou_threshold": float(rng.choice([0, 0.3, 0.5, 0.7, 1])),
        "score_threshold": float(rng.choice([-np.inf, -5, 0, 0.05, 0.5])),
        "max_output": int(rng.choice([1, 7, 60])),
        "pre_nms_top_n": int(rng.choice([0, 1, 10, 100])),
    }
    return lambda *inputs: ops.nms(*inputs, **options), (boxes, scores, classes), exact, options


def soft_nms(rng):
    boxes, scores = suppression_inputs(rng)
    classes = rng.integers(-1, 3, scores.shape).astype(np.int32)
    options = {
        "method": str(rng.choice(["linear", "gaussian"])),
        "sigma": float(rng.choice([0.05, 0.5, 3])),
        "iou_threshold": float(rng.choice([0, 0.3, 0.5, 1])),
        "score_threshold": float(rng.choice([0, 0.001, 0.3])),
        "max_output": int(rng.choice([1, 7, 60])),
        "pre_nms_top_n": int(rng.choice([0, 1, 10, 100])),
    }
    check = exact
    if options["method"] == "gaussian":
        # Exponentials may differ in the last bit, which would decide between equal scores.
        scores = np.where(np.isfinite(scores), rng.random(scores.shape).astype(np.float32), scores)
        check = close(1e-5)
    return (
        lambda *inputs: ops.soft_nms(*inputs, **options),
        (boxes, scores, classes),
        check,
        options,
    )


def proposals(rng):
    batch = int(rng.integers(0, 3))
    whole = rng.random() < 0.5
    # Several levels are moved apart by the plain version, which is exact on whole pixels only.
    levels = rng.integers(0, 40, rng.integers(1, 4) if whole else 1)
    logits, deltas, anchors, sizes = rpn_outputs(rng, levels, batch)
    sizes = sizes.reshape(batch, 2)
    if whole:
        deltas = [np.zeros_like(level) for level in deltas]
        anchors = [np.round(level) for level in anchors]
        for level in deltas:
            replace_some(rng, level, np.array([np.nan, np.inf, 0], np.float32))
    elif logits[0].size:
        make_hostile(rng, logits, deltas)
    # Exponentials of boxes as large as the odd ones would differ by pixels in their last bit.
    odd = ODD_BOXES[~(np.abs(ODD_BOXES) > 1e3).any(1)]
    anchors = [replace_some(rng, level, np.round(odd) if whole else odd) for level in anchors]
    options = {
        "pre_nms_top_n": int(rng.choice([1, 10, 100])),
        "post_nms_top_n": int(rng.choice([1, 10, 60])),
        "nms_threshold": float(rng.choice([0, 0.5, 0.7, 1])),
        "min_size": float(rng.choice([1e-3, 1, 16])),
    }

    def check(plain, compiled):
        exact(plain[1:], compiled[1:])  # logits and counts are copied
        np.testing.assert_allclose(compiled[0], plain[0], rtol=0, atol=1e-3)

    inputs = (logits, deltas, anchors, sizes)
    return lambda *inputs: ops.proposals(*inputs, **options), inputs, check, options


def match_boxes(rng):
    batch, count = batch_and_count(rng, 12)
    own = rng.random() < 0.3
    anchors = some_boxes(rng, [*([batch] if own else []), rng.integers(0, 60)])
    low, high = np.sort(rng.choice([0, 0.2, 0.3, 0.5, 0.7, 1], 2))
    options = {
        "high_threshold": float(high),
        "low_threshold": float(low),
        "allow_low_quality": bool(rng.random() < 0.5),
    }
    inputs = (anchors, some_boxes(rng, [batch, count]), rng.random([batch, count]) < 0.7)
    return lambda *inputs: [ops.match_boxes(*inputs, **options)], inputs, exact, options


def pasting(rng):
    count, side = int(rng.integers(0, 8)), int(rng.choice([1, 2, 7, 14, 28]))
    masks = np.clip(rng.uniform(-0.3, 1.3, [count, side, side]), 0, 1).astype(np.float32)
    options = {
        "height": int(rng.integers(1, 70)),
        "width": int(rng.integers(1, 70)),
        "threshold": float(rng.choice([0.05, 0.37, 0.5, 0.9])),
        "whole_pixels": bool(rng.random() < 0.4),
    }
    inputs = (masks, some_boxes(rng, [count]))

    def check(plain, compiled):
        # A probability within rounding of the threshold may fall to either side.
        bounds = [{**options, "threshold": options["threshold"] + d} for d in (-1e-5, 1e-5)]
        with ops.implementation("plain"):
            lower, upper = (ops.paste_masks(*inputs, **bound).numpy() for bound in bounds)
        sure = lower == upper
        np.testing.assert_array_equal(compiled[0][sure], plain[0][sure])

    return inputs, check, options


def paste_masks(rng):
    inputs, check, options = pasting(rng)
    return lambda *inputs: [ops.paste_masks(*inputs, **options)], inputs, check, options


def masks_to_rle(rng):
    inputs, pixels_agree, options = pasting(rng)

    def call(masks, boxes):
        return ops.masks_to_rle(masks, boxes, **options)

    def decoded(encoded):
        images = [mask_utils.decode(rle) for rle in encoded]
        return [np.reshape(images, [len(images), options["height"], options["width"]])]

    def check(plain, compiled):
        pixels, others = decoded(plain), decoded(compiled)
        pixels_agree(pixels, others)
        for rle, image in zip(compiled, others[0], strict=True):
            text = mask_utils.encode(np.asfortranarray(image, np.uint8))["counts"].decode()
            assert rle == {"size": [options["height"], options["width"]], "counts": text}

    return call, inputs, check, options


def mask_targets(rng):
    batch, most = int(rng.integers(1, 4)), int(rng.integers(1, 5))
    images = []
    for _ in range(batch):
        sizes = rng.integers(0, 24, [most, 2])
        regions = rng.integers(0, 30, [most, 2]) * rng.choice([0.5, 1, 1.7])
        images.append(
            [
                (rng.random(size) < 0.7, [*region, *(region + size[::-1] * rng.choice([0.6, 1]))])
                for size, region in zip(sizes, regions, strict=True)
            ]
        )
    packed = pack(*images)
    count = int(rng.integers(0, 20))
    adaptive = rng.random() < 0.2
    corners = rng.uniform(-5, 50, [batch, count, 2, 2])
    rois = np.concatenate([corners.min(2), corners.max(2)], -1).astype(np.float32)
    if not adaptive:  # adapted to odd boxes, the plain version takes ages
        rois = replace_some(rng, rois, ODD_BOXES)
        packed["mask_boxes"] = replace_some(rng, packed["mask_boxes"].numpy(), ODD_BOXES[:3])
    options = {
        "size": 13 if adaptive else int(rng.choice([1, 5, 13])),
        "sampling_ratio": 0 if adaptive else int(rng.integers(1, 4)),
        "aligned": bool(rng.random() < 0.5),
        "binary": bool(rng.random() < 0.4),
    }
    sizes = rng.integers(20, 60, [batch, 2]).astype(np.int32) if rng.random() < 0.5 else None
    inputs = (packed, rois, rng.integers(0, most, [batch, count]).astype(np.int32))

    def call(*inputs):
        return [ops.mask_targets(*inputs, image_sizes=sizes, **options)]

    def check(plain, compiled):
        if not options["binary"]:
            return close(2e-6)(plain, compiled)
        with ops.implementation("plain"):
            soft = ops.mask_targets(*inputs, image_sizes=sizes, **{**options, "binary": False})
        sure = np.abs(soft.numpy() - (0.5 - 1e-5)) > 5e-6
        return exact([plain[0][sure]], [compiled[0][sure]])

    return call, inputs, check, {**options, "image_sizes": sizes}


def rasterize_polygons(rng):
    odd = [np.nan, np.inf, -1e300, 1e300, 2.0**31, -(2.0**40), 0.5, -0.0]

    def polygon():
        points = np.array(random_polygon(rng, 40))
        if rng.random() < 0.2:
            points[rng.integers(0, len(points))] = rng.choice(odd)
        return points[: 2 * int(rng.integers(0, 4))] if rng.random() < 0.1 else points

    objects = [
        [polygon() for _ in range(rng.integers(0, 4))] for _ in range(int(rng.integers(0, 5)))
    ]
    height, width = (int(n) for n in rng.integers(0, 60, 2))
    boxes = some_boxes(rng, [len(objects)]) if rng.random() < 0.5 else None

    def call(boxes):
        return [ops.rasterize_polygons(objects, height, width, boxes)]

    return call, (boxes,), exact, {"height": height, "width": width, "boxes": boxes is not None}


ON_TENSORS = (roi_align, nms, soft_nms, proposals, match_boxes, paste_masks, mask_targets)
MAKERS = {maker.__name__: maker for maker in (*ON_TENSORS, masks_to_rle, rasterize_polygons)}


def unknown_sizes(values):
    """A signature that leaves all dimensions but the last open."""
    values = tf.convert_to_tensor(values)
    return tf.TensorSpec([None] * (values.shape.rank - 1) + values.shape[-1:], values.dtype)


def on_numpy(results):
    return [values.numpy() if tf.is_tensor(values) else values for values in results]


def run_case(op: str, seed: int) -> None:
    """Compares the two implementations of `op` on the case that `seed` makes."""
    options = "not made"
    try:
        call, inputs, check, options = MAKERS[op](np.random.default_rng(seed))
        with ops.implementation("plain"):
            plain = on_numpy(call(*inputs))
        with ops.implementation("compiled"):
            if MAKERS[op] in ON_TENSORS and seed % GRAPH_EVERY == 0:
                signature = tf.nest.map_structure(unknown_sizes, inputs)
                call = tf.function(call, input_signature=signature, autograph=False)
            compiled = on_numpy(call(*inputs))
        check(plain, compiled)
    except Exception as error:
        raise AssertionError(f"run_case({op!r}, {seed}) with {options}: {error}") from error


@pytest.mark.parametrize("op", MAKERS)
def test_compiled_equals_plain(compiled_ops, op):
    for seed in range(CASES):
        run_case(op, seed)


@pytest.mark.slow
@pytest.mark.parametrize("op", MAKERS)
def test_compiled_equals_plain_in_thousands_of_cases(compiled_ops, op):
    for seed in range(CASES, CASES + -(-SLOW_CASES // len(MAKERS))):
        run_case(op, seed)
