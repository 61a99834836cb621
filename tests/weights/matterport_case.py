"""The weights, files and comparisons of the golden files of Matterport's Mask R-CNN."""

import json

import h5py
import numpy as np

from mrcnn_tf.boxes import from_inclusive, rescale_inclusive_boxes, to_inclusive
from mrcnn_tf.ops import paste_masks
from tests.weights.detectron2_case import (
    BOX_TOLERANCE,
    GOLDEN,
    SCORE_TOLERANCE,
    golden_tensor,
    pair_up,
)

SIDE = 256
DEVIATIONS = np.float32([0.1, 0.1, 0.2, 0.2])
DELTA_ORDER = [1, 0, 3, 2]  # of x, y, width, height: y, x, height, width


def seeded_weights() -> dict[str, np.ndarray]:
    """All 384 tensors of a ResNet-50 for COCO, by Matterport's names."""
    return {name: golden_tensor(name, entry) for name, entry in seeded_shapes().items()}


def seeded_shapes() -> dict[str, dict]:
    """Shape, kind and scale of every tensor by name, and its sum and first values."""
    return json.loads((GOLDEN / "matterport_weights.json").read_text())["tensors"]


def write_h5(path, tensors: dict[str, np.ndarray], group: str = "/"):
    """Writes tensors as Keras 2.2 writes a model's weights: the RPN is a model of its own."""
    with h5py.File(path, "w") as file:
        layers = {}
        for name, tensor in tensors.items():
            layer = name.split("/")[0]
            layer = "rpn_model" if layer.startswith("rpn_") else layer
            file.require_group(group).require_group(layer)[name] = tensor
            layers.setdefault(layer, []).append(name)
        file[group].attrs["layer_names"] = np.array(list(layers), "S")
        for layer, names in layers.items():
            file[group][layer].attrs["weight_names"] = np.array(names, "S")
    return path


def in_pixels(boxes: np.ndarray) -> np.ndarray:
    """Boxes y1, x1, y2, x2 from 0 to 1 as ours, in pixels of the square."""
    return np.asarray(from_inclusive(boxes[..., DELTA_ORDER] * np.float32(SIDE - 1)))


def stage_differences(model, image: np.ndarray, golden: dict[str, np.ndarray]) -> dict[str, float]:
    """The largest difference of every stage, relative to the largest value of it.

    The box head gets the golden proposals, not those of the stage before it.
    """
    squares, _ = model.squares(image[None], np.int32([image.shape[:2]]))
    sizes = np.int32([[SIDE, SIDE]])
    pyramid = model.features(squares, sizes)
    logits, deltas = (np.concatenate(values, axis=1) for values in model.rpn(pyramid))
    pairs = rpn_logit_pairs(model, pyramid)
    pooled = model.box_pooling(pyramid[:-1], in_pixels(golden["proposals"])[None])
    class_logits, box_deltas = (np.asarray(value) for value in model.box_head(pooled))
    # Background comes first there, and has deltas that nothing uses.
    box_deltas = np.pad(box_deltas[..., DELTA_ORDER], [[0, 0], [0, 0], [1, 0], [0, 0]])
    found = {
        "input": model.normalize(squares, sizes),
        **{f"p{level}": features for level, features in enumerate(pyramid, start=2)},
        "rpn_class_logits": pairs,
        "rpn_bbox": deltas[..., DELTA_ORDER] / DEVIATIONS,
        "roi_align_classifier": pooled,
        "mrcnn_class_logits": np.roll(class_logits, 1, axis=-1)[0],
        "mrcnn_bbox": box_deltas if "mrcnn_bbox.stride" in golden else box_deltas[0],
    }
    differences = {"rpn logits": relative(logits, pairs[..., 1] - pairs[..., 0])}
    for name, values in found.items():
        places, expected = stored(golden, name, np.shape(values))
        is_used = places // 4 % class_logits.shape[-1] > 0 if name == "mrcnn_bbox" else slice(None)
        differences[name] = relative(np.reshape(values, -1)[places][is_used], expected[is_used])
    return differences


def stored(golden, name: str, shape: tuple) -> tuple[np.ndarray, np.ndarray]:
    """Places in the flat array, and values, of what a golden file holds of an array."""
    step = int(golden.get(f"{name}.stride", 1))
    expected_shape = golden[f"{name}.shape"] if f"{name}.shape" in golden else golden[name].shape
    assert shape == tuple(expected_shape), (name, shape)
    values = golden[f"{name}.sample"] if f"{name}.sample" in golden else golden[name].reshape(-1)
    return np.arange(np.prod(shape))[::step], values.astype(np.float32)


def relative(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def rpn_logit_pairs(model, pyramid) -> np.ndarray:
    """Logits of background and object `[1, A, 2]`, of which our RPN holds the difference only."""
    shapes = seeded_shapes()
    kernel, bias = (
        golden_tensor(name, shapes[name])
        for name in ("rpn_class_raw/kernel:0", "rpn_class_raw/bias:0")
    )
    hidden = [model.rpn.convs[0](features) for features in pyramid]
    return np.concatenate([np.reshape(h @ kernel[0, 0] + bias, [1, -1, 2]) for h in hidden], axis=1)


def detect(model, image: np.ndarray, monkeypatch) -> dict[str, np.ndarray]:
    """Detections of one image down to a score of 0.05, without the rows of padding."""
    monkeypatch.setattr(model.detections, "score_threshold", 0.05)
    # What Matterport loses, see `check_detections`, shall take no row of what it keeps.
    monkeypatch.setattr(model.detections, "max_detections", 110)
    found = model({"images": image[None], "image_sizes": np.int32([image.shape[:2]])})
    count = int(found.pop("num_detections")[0])
    return {name: np.asarray(value)[0, :count] for name, value in found.items()}


def above(threshold: float, found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What a model with that threshold finds: no detection depends on less likely ones."""
    return {name: value[found["scores"] >= threshold] for name, value in found.items()}


def golden_detections(golden, kind: str, image: np.ndarray) -> dict[str, np.ndarray]:
    """Detections of a golden file, boxes in pixels of the image without its frame."""
    rows = golden[f"det_{kind}"]
    left, top = ((SIDE - image.shape[axis]) // 2 for axis in (1, 0))
    return {
        "boxes": in_pixels(rows[:, :4]) - np.float32([left, top, left, top]),
        "classes": rows[:, 4].astype(int) - 1,
        "scores": rows[:, 5],
    }


def check_detections(found, expected) -> np.ndarray:
    """Asserts that what Matterport detects is there, and whatever is there besides is explained.

    TensorFlow 1.15 repeats a box without area until the result is full, so that Matterport loses
    whatever is less likely and of the same class.

    Returns:
        Row of `found` for every row of `expected`.
    """
    rows, moved, changed = pair_up(found, expected)
    assert moved.max() <= BOX_TOLERANCE and changed.max() <= SCORE_TOLERANCE
    sides = np.asarray(to_inclusive(expected["boxes"]))
    is_empty = (sides[:, 2:] - sides[:, :2]).min(axis=1) <= 1e-4
    lowest = expected["scores"].min() if len(expected["scores"]) == 100 else 0.0
    for row in set(range(len(found["scores"]))) - set(rows):
        if found["scores"][row] > lowest:
            is_rival = is_empty & (expected["classes"] == found["classes"][row])
            assert expected["scores"][is_rival].max(initial=0) > found["scores"][row], row
    return rows


def check_masks(found, rows: np.ndarray, golden, size: tuple[int, int], resized: tuple[int, int]):
    """Asserts that boxes and masks of the original image are those of Matterport's `detect`.

    scikit-image keeps to the range of a mask's values, so that one without a value below 0.5 fills
    its box there; ours fades to 0 at the edges.
    """
    boxes = rescale_inclusive_boxes(found["boxes"][rows], resized, size).numpy()
    np.testing.assert_array_equal(boxes[:, [1, 0, 3, 2]], golden["final_low.rois"])
    masks = paste_masks(found["masks"][rows], boxes, *size).numpy()
    is_full = found["masks"][rows].min(axis=(1, 2)) >= 0.5
    areas, expected = masks.sum((1, 2)), golden["final_low.mask_area"]
    np.testing.assert_allclose(areas[~is_full], expected[~is_full], atol=2, rtol=1e-3)
    sides = boxes[is_full, 2:] - boxes[is_full, :2]
    np.testing.assert_array_equal(expected[is_full], sides.prod(axis=1))
    packed = golden["final_low.masks_first8_packed"]
    expected = np.unpackbits(packed, axis=1)[:, : masks[0].size].reshape(-1, *size)
    for row in np.flatnonzero(~is_full[: len(expected)]):
        ours, theirs = masks[row], expected[row]
        assert (ours & theirs).sum() >= 0.999 * (ours | theirs).sum()
