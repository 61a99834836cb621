"""Compares this package's training with torchvision's: losses, gradients, steps of SGD."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from test_peers_units import compare_units, pack_units, recorded_units
from test_peers_worker import Arrays, Peer

from mrcnn_tf import losses as L
from mrcnn_tf.data import CocoDataset
from mrcnn_tf.data.instance_masks import decode_crop
from mrcnn_tf.weights import model_from_torchvision

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.weights.injected_training import (  # noqa: E402
    LOSSES,
    injected_samples,
    training_targets,
)

LOSS_TOLERANCE = 1e-4  # relative, of the first step
STEP_TOLERANCE = 1e-2  # relative, of all others
GRADIENT_TOLERANCE = 1e-3  # of the norm of a tensor
# Through the batch's statistics of 50 layers, rounding moves a gradient further than that. It may
# then be so many times as far from the gradient in float64 as the peer's own in float32 ...
ROUNDING_RATIO = 1.5
# ... which says something only while that is near.
MOST_ROUNDING = 0.1
# In exact arithmetic, the gradient of a bias that a softmax takes out again is 0. It counts as that
# if it is so small in float64, and then may be so large here: parts of the norm of all gradients.
ZERO, NEARLY_ZERO = 1e-10, 1e-8
# What may be said of a gradient that is not within GRADIENT_TOLERANCE of the peer's.
KINDS = {
    "near": "within {ours:.1e} of float64, torchvision's {theirs:.1e}",
    "rounded": (
        "as near to float64 as torchvision's own: ours within {ours:.1e}, torchvision's "
        "{theirs:.1e}, at most {ratio:.2f} times as far ({worst})"
    ),
    "zero": "0 but for {ours:.1e} of all gradients",
}
LABELS_EQUAL = PROPOSALS_EQUAL = 0.995
BOX_TOLERANCE = 0.01  # px
# The losses of made-up weights fall visibly with it, and do not diverge.
LEARNING_RATE = 1e-4
MOMENTUM = 0.9
PERSON = 1
WORST = 5


def compare_training(
    peer: Peer, name: str, seed: int, images: Sequence[Path], steps: int
) -> Iterator[dict]:
    """Trains a detector on one batch on both sides, on the samples that torchvision's side takes.

    Yields:
        Rows with `what` was compared, the `result` in words and `passed`, and the numbers.
    """
    files = {
        what: str(peer.folder / f"{what}.pth")
        for what in ("weights", "trainable", "gradients", "trained")
    }
    objects = [read_objects(image, name) for image in images]
    inputs = {f"{key}.{i}": value for i, each in enumerate(objects) for key, value in each.items()}
    inputs |= {f"image.{i}": str(image) for i, image in enumerate(images)}
    inputs["batch"] = len(images)
    theirs = peer.ask(
        *(name, seed, "train"), **files, **inputs, steps=steps, learning_rate=LEARNING_RATE
    )
    has_batch_statistics = bool(theirs["batch_statistics"])
    model = model_from_torchvision(files["weights"])
    x = {"images": tf.constant(theirs["images"]), "image_sizes": tf.constant(theirs["image_sizes"])}
    y = training_targets([_resized(theirs, each, i) for i, each in enumerate(objects)])
    yield compare_trainable(model, model_from_torchvision(files["trainable"]))
    yield from compare_candidates(model, x, y, theirs)

    optimizer = keras.optimizers.SGD(LEARNING_RATE, momentum=MOMENTUM)
    variables, history = model.trainable_variables, []
    for step in range(steps):
        samples = injected_samples(theirs, f"{step}.")
        with tf.GradientTape() as tape, recorded_units(model) as units:
            losses = model.compute_losses(x, y, samples=samples)
            total = model.total_loss(losses)
        gradients = tape.gradient(
            total, [each.value for each in variables], unconnected_gradients="zero"
        )
        history.append({ours: float(value) for ours, value in losses.items()})
        if step == 0:
            expected = _peer_losses(theirs, step)
            yield from compare_losses(history[0], expected)
            names = [each.path for each in variables]
            peers = [model_from_torchvision(files["gradients"]).trainable_variables]
            inputs |= pack_units(units, samples["rois"].is_positive.numpy())
            exact = peer.ask(
                *(name, seed, "float64_gradients"), **inputs, gradients=files["gradients"]
            )
            if units:
                yield compare_units(**exact)
            peers.append(model_from_torchvision(files["gradients"]).trainable_variables)
            sides = [_arrays(names, each) for each in (gradients, *peers)]
            yield compare_gradients(*sides, has_batch_statistics)
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
    if steps > 1:
        peers = [_peer_losses(theirs, step) for step in range(steps)]
        rows = [compare_steps(history, peers)]
        models = (model_from_torchvision(files[what]) for what in ("trained", "weights"))
        rows.append(compare_weights(model, *models))
        yield from map(only_finite, rows) if has_batch_statistics else rows


def read_objects(image: Path, model: str) -> Arrays:
    """The annotated objects of a photo as torchvision takes them.

    Returns:
        `boxes [N, 4]`, `labels [N]`, COCO's ids, `masks`, packed `[N, L]`, and for a model with
        joints persons alone, with `keypoints [N, 17, 3]` made up inside their boxes, one in six not
        annotated.
    """
    folder = image.parent.parent
    dataset = CocoDataset(folder / "train2017", folder / "annotations/instances_train2017.json")
    image_id = int(image.stem)
    height, width = dataset.size(image_id)
    boxes, labels, masks = [], [], []
    for each in dataset.annotations(image_id):
        if each.get("iscrowd") or ("keypoint" in model and each["category_id"] != PERSON):
            continue
        mask = np.zeros((height, width), bool)
        crop, (x1, y1, x2, y2) = decode_crop(each["segmentation"], height, width)
        mask[y1:y2, x1:x2] = crop
        masks.append(np.packbits(mask))
        x, y, w, h = each["bbox"]
        boxes.append((x, y, x + w, y + h))
        labels.append(each["category_id"])
    found = {"boxes": np.float32(boxes), "labels": np.int64(labels), "masks": np.stack(masks)}
    if "keypoint" in model:
        rng = np.random.default_rng(image_id)
        found.pop("masks")
        low, high = found["boxes"][:, None, :2], found["boxes"][:, None, 2:]
        points = low + (high - low) * rng.uniform(size=(len(boxes), 17, 2))
        visible = rng.integers(0, 6, (len(boxes), 17, 1)) > 0
        found["keypoints"] = np.concatenate([points, 2 * visible], axis=-1).astype(np.float32)
    return found


def compare_trainable(model, marks) -> dict:
    """Whether the same weights are trained; `marks` has 1 in place of a weight that is, else 0."""
    pairs = zip(model.weights, marks.weights, strict=True)
    wrong = [ours.path for ours, mark in pairs if not np.all(mark.numpy() == ours.trainable)]
    count = len(model.trainable_variables)
    text = f"{count} of {len(model.weights)} weights are trained on both sides"
    if wrong:
        text = f"trained on one side alone: {', '.join(wrong[:WORST])}"
    return {"what": "trained weights", "result": text, "passed": not wrong}


def compare_candidates(model, x, y, theirs: Arrays) -> Iterator[dict]:
    """Labels of anchors, and proposals, before anything is sampled."""
    pyramid = model.features(x["images"], x["image_sizes"], True)
    anchors = model.anchors(pyramid)
    stacked = tf.concat(anchors, axis=0)
    labels, _ = L.rpn_labels(stacked, L.with_spare_row(y), x["image_sizes"], *model.rpn_iou[::-1])
    expected = np.stack([theirs[f"anchor_labels.{i}"] for i in range(len(labels))])
    yield compare_labels(labels.numpy(), expected, stacked.numpy(), theirs["image_sizes"])

    boxes, _, counts = model.training_proposals(*model.rpn(pyramid), anchors, x["image_sizes"])
    found = [rows[:count] for rows, count in zip(boxes.numpy(), counts.numpy(), strict=True)]
    yield compare_proposals(found, [theirs[f"0.proposals.{i}"] for i in range(len(found))])


def compare_labels(ours, theirs, anchors, image_sizes) -> dict:
    """Anchors' labels `[B, A]`; those centred on padding are never trained on here."""
    centres = (anchors[:, :2] + anchors[:, 2:]) / 2
    is_padding = (centres[None] >= image_sizes[:, None, ::-1]).any(axis=-1)
    equal = (ours == theirs)[~is_padding]
    positives = int((theirs == 1)[~is_padding].sum())
    padded = int((theirs == 1)[is_padding].sum())
    text = (
        f"{int(equal.sum())} of {equal.size} on the images are equal, {positives} positive; "
        f"{int(is_padding.sum())} on padding, {padded} positive there"
    )
    passed = equal.mean() >= LABELS_EQUAL and bool(np.all(ours[is_padding] == -1))
    return {"what": "labels of anchors", "result": text, "passed": bool(passed)}


def compare_proposals(ours: list[np.ndarray], theirs: list[np.ndarray]) -> dict:
    """Boxes `[N, 4]` of each image that have one within BOX_TOLERANCE on the other side."""
    equal = total = 0
    for found, expected in zip(ours, theirs, strict=True):
        distance = np.abs(found[:, None] - expected[None]).max(axis=-1)
        equal += int((distance.min(axis=0, initial=np.inf) <= BOX_TOLERANCE).sum())
        total += max(len(found), len(expected))
    text = f"{equal} of {total} within {BOX_TOLERANCE} px"
    passed = equal >= PROPOSALS_EQUAL * total and total > 0
    return {"what": "training proposals", "result": text, "passed": passed}


def compare_losses(ours: dict[str, float], theirs: dict[str, float]) -> Iterator[dict]:
    for name, expected in theirs.items():
        error = _relative(ours.get(name, np.nan), expected)
        text = f"{expected:.6f}, differs by {error:.1e}"
        row = {"what": name, "result": text, "passed": error <= LOSS_TOLERANCE}
        yield row | {"theirs": expected, "error": error}


def compare_gradients(
    ours: Arrays, theirs: Arrays, exact: Arrays, has_batch_statistics: bool
) -> dict:
    """The distance of every tensor from theirs, relative to the norm of theirs.

    Args:
        ours: gradients by the path of a weight.
        theirs: the peer's.
        exact: the peer's in float64, with the units of the keypoint head on the side of 0 where
            ours are. A tensor that is not within GRADIENT_TOLERANCE of theirs has to be within that
            of this, or is judged by `compare_rounding`.
        has_batch_statistics: whether rounding may move a gradient further than that.
    """
    errors = {name: _distance(ours.get(name), expected) for name, expected in theirs.items()}
    names = sorted(errors, key=errors.get, reverse=True)
    whole = float(np.sqrt(sum(np.square(each, dtype=np.float64).sum() for each in exact.values())))
    ratio = ROUNDING_RATIO if has_batch_statistics else 0.0
    rounded = {
        name: compare_rounding(ours.get(name), theirs[name], exact[name], whole, ratio)
        for name in names
        if errors[name] > GRADIENT_TOLERANCE
    }
    text = f"{len(errors) - len(rounded)} of {len(errors)} tensors within {GRADIENT_TOLERANCE:.0e}"
    good = {name: each for name, each in rounded.items() if each["passed"]}
    for kind, words in KINDS.items():
        found = {name: each for name, each in good.items() if each["kind"] == kind}
        if found:
            far = {side: max(each[side] for each in found.values()) for side in ("ours", "theirs")}
            ratios = {
                name: each["ours"] / max(each["theirs"], 1e-30) for name, each in found.items()
            }
            worst = max(ratios, key=ratios.get)
            words = words.format(**far, ratio=ratios[worst], worst=worst)
            text += f", {len(found)} others {words}"
    listing = ", ".join(f"{name} {errors[name]:.1e}" for name in names[:WORST])
    text += f"; farthest from theirs: {listing}"
    wrong = [name for name in rounded if name not in good]
    if wrong:
        text += f"; too far from float64: {', '.join(wrong[:WORST])}"
    passed = bool(errors) and set(ours) == set(theirs) and not wrong
    row = {"what": "gradients", "result": text, "passed": passed}
    return row | {"errors": errors, "rounding": rounded}


def compare_rounding(
    ours, theirs: np.ndarray, exact: np.ndarray, whole: float, ratio: float
) -> dict:
    """Whether a gradient is as near to that in float64 as rounding lets it be.

    Args:
        ours: a gradient, or None.
        theirs: the peer's.
        exact: the peer's in float64.
        whole: the norm of all gradients.
        ratio: how many times as far from `exact` as theirs ours may be, if it is not near.

    Returns:
        A dict of `ours` and `theirs`, their distances relative to the norm of `exact`, or to
        `whole` if that is 0 in exact arithmetic; the `kind`, one of KINDS; and `passed`.
    """
    is_zero = bool(np.linalg.norm(exact) <= ZERO * whole)
    norm = whole if is_zero else None
    found = {"ours": _distance(ours, exact, norm), "theirs": _distance(theirs, exact, norm)}
    if is_zero:
        kind, passed = "zero", found["ours"] <= NEARLY_ZERO
    elif found["ours"] <= GRADIENT_TOLERANCE:
        kind, passed = "near", True
    else:
        kind, passed = "rounded", found["theirs"] <= MOST_ROUNDING
        passed &= found["ours"] <= ratio * found["theirs"]
    return {**found, "kind": kind, "passed": passed}


def compare_steps(ours: list[dict[str, float]], theirs: list[dict[str, float]]) -> dict:
    """The losses of every step."""
    errors = [
        {name: _relative(found.get(name, np.nan), value) for name, value in expected.items()}
        for found, expected in zip(ours, theirs, strict=True)
    ]
    worst, name = max((value, name) for step in errors for name, value in step.items())
    first, last = (sum(each.values()) for each in (theirs[0], theirs[-1]))
    text = (
        f"{len(theirs)} of SGD, loss {first:.3f} to {last:.3f}; losses differ by at most "
        f"{worst:.1e} ({name})"
    )
    row = {"what": "steps", "result": text, "passed": worst <= STEP_TOLERANCE}
    return row | {"ours": ours, "theirs": theirs, "is_finite": bool(np.isfinite(worst))}


def only_finite(row: dict) -> dict:
    """The row of several steps of a model that trains on statistics of the batch.

    After the first its weights are apart by far more than rounding, as its gradients were, and
    that is magnified in turn. So what was found is told, and judged by being finite alone.
    """
    text = f"{row['result']} (not judged: rounding has moved the gradients)"
    return {**row, "result": text, "passed": row["is_finite"]}


def compare_weights(ours, theirs, start) -> dict:
    """How far the weights are apart, relative to the way they have gone."""
    apart = way = 0.0
    weights = (model.trainable_variables for model in (ours, theirs, start))
    for found, expected, before in zip(*weights, strict=True):
        apart += float(np.square(found.numpy() - expected.numpy(), dtype=np.float64).sum())
        way += float(np.square(expected.numpy() - before.numpy(), dtype=np.float64).sum())
    error = float(np.sqrt(apart / way)) if way else np.inf
    text = f"apart by {error:.1e} of the way they have gone"
    row = {"what": "weights after that", "result": text, "passed": error <= STEP_TOLERANCE}
    return row | {"is_finite": bool(np.isfinite(error))}


def _peer_losses(theirs: Arrays, step: int) -> dict[str, float]:
    losses = {ours: f"{step}.{name}" for ours, name in LOSSES.items()}
    return {ours: float(theirs[name]) for ours, name in losses.items() if name in theirs}


def _resized(theirs: Arrays, objects: Arrays, i: int) -> Arrays:
    """The objects of image i as torchvision has resized them."""
    resized = {"labels": objects["labels"], "boxes": theirs[f"boxes.{i}"]}
    if f"masks_packed.{i}" in theirs:
        height, width = theirs["image_sizes"][i]
        bits = np.unpackbits(theirs[f"masks_packed.{i}"], axis=1)[:, : height * width]
        resized["masks"] = bits.reshape(-1, height, width).astype(bool)
    if f"keypoints.{i}" in theirs:
        resized["keypoints"] = theirs[f"keypoints.{i}"]
    return resized


def _arrays(names: list[str], tensors) -> Arrays:
    return dict(zip(names, (each.numpy() for each in tensors), strict=True))


def _distance(found: np.ndarray | None, expected: np.ndarray, norm: float | None = None) -> float:
    """The norm of the difference, relative to `norm`, that of `expected` if not given."""
    if found is None:
        return np.inf
    norm = float(np.linalg.norm(expected)) if norm is None else norm
    distance = float(np.linalg.norm(found - expected))
    error = distance / norm if norm else float(distance > 0)
    return error if np.isfinite(error) else np.inf


def _relative(found: float, expected: float) -> float:
    error = abs(found - expected) / max(abs(expected), 1e-12)
    return error if np.isfinite(error) else np.inf
