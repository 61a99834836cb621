"""Compares this package's inference with torchvision's: every stage, then image file to results."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from test_peers_pairs import Found, Rules, deviation, explain_unpaired, pair_up
from test_peers_worker import Arrays, Peer

from mrcnn_tf.boxes import clip_boxes, decode_boxes
from mrcnn_tf.models.predictor import Predictor, read_upright_image
from mrcnn_tf.ops.paste_masks import whole_pixel_boxes
from mrcnn_tf.weights import model_from_torchvision

STAGE_TOLERANCE = 1e-4  # of the largest value of a tensor
PAIRED = 0.995
MASK_IOU, MASK_SIZE = 0.999, 28
# A joint is where its heatmap is highest: of two places as good as equal, either may be it.
JOINT_TOLERANCE, JOINTS_EQUAL = 0.01, 0.99  # px, of all joints
# Up to so many boxes, `torchvision.ops.batched_nms` moves classes and levels apart on the CPU.
MOST_SHIFTED = 1000
MIN_DETECTIONS, MIN_CLASSES = 20, 5  # of an image


def compare_inference(peer: Peer, name: str, seed: int, images: Sequence[Path]) -> Iterator[dict]:
    """Runs a detector on image files on both sides.

    Yields:
        Rows with `what` was compared, the `result` in words and `passed`, and the numbers: `spread`
        of the detections, the largest `deviation` of a stage, or what `compare_results` gives,
        summed over the images.
    """
    weights = peer.folder / "weights.pth"
    paths = [str(image) for image in images]
    peer.ask(name, seed, "calibrate", images=paths, weights=str(weights))
    model = model_from_torchvision(weights, image_size=peer.size)
    spread, stages, results = [], {}, {}
    for image in images:
        theirs = peer.ask(name, seed, "detect", image=str(image))
        spread.append(spread_of(theirs))
        for stage, value in compare_stages(model, theirs):
            stages[stage] = max(value, stages.get(stage, 0.0))
        for row in compare_results(model, theirs, image):
            for each in {"unpaired", "unequal_masks"} & row.keys():
                row[each] = [{"image": image.name, **unequal} for unequal in row[each]]
            results[row["what"]] = add_up(row, results.get(row["what"]))
    yield {"what": "spread", **judge_spread(spread, model.num_classes), "spread": spread}
    for stage, value in stages.items():
        text = f"{value:.1e} of the largest value"
        row = {"what": stage, "result": text, "passed": value <= STAGE_TOLERANCE}
        yield row | {"deviation": value}
    for row in results.values():
        yield row | judge_pairs(row)


def compare_stages(model, theirs: Arrays) -> Iterator[tuple[str, float]]:
    """Runs every stage on the peer's own inputs to it.

    Yields:
        The name of a stage, and the `deviation` of what it gives.
    """
    levels = range(sum(name.startswith("features.") for name in theirs))
    pyramid = [tf.constant(theirs[f"features.{i}"][None]) for i in levels]
    sizes = tf.constant(theirs["image_size"][None])

    ours = model.features(tf.constant(theirs["resized"][None]), sizes)
    yield "features", _deviation_of_levels(ours, pyramid)
    logits, deltas = model.rpn(pyramid)
    for name, values in (("rpn_logits", logits), ("rpn_deltas", deltas)):
        expected = [theirs[f"{name}.{i}"][None] for i in levels]
        yield name, _deviation_of_levels(values, expected)
    anchors = tf.concat(model.anchors(pyramid), axis=0)
    deltas = tf.concat([theirs[f"rpn_deltas.{i}"] for i in levels], axis=0)
    decoded = clip_boxes(decode_boxes(deltas, anchors)[None], sizes)[0]
    yield "decoded anchors", deviation(decoded.numpy(), theirs["decoded"])

    pooled = model.box_pooling(pyramid[:-1], tf.constant(theirs["proposals"][None]))
    yield "box pooling", deviation(pooled.numpy()[0], theirs["box_pooled"])
    logits, deltas = model.box_head(tf.constant(theirs["box_pooled"][None]), training=False)
    # The background is torchvision's first class and our last; only theirs has a box for it.
    yield "class logits", deviation(np.roll(logits.numpy()[0], 1, axis=-1), theirs["class_logits"])
    yield "box deltas", deviation(deltas.numpy()[0], theirs["box_deltas"][:, 1:])
    boxes = tf.constant(theirs["boxes"][None])
    for kind, skipped in (("mask", 1), ("keypoint", 0)):
        if f"{kind}_pooled" not in theirs or not len(theirs["boxes"]):
            continue
        pooled = getattr(model, f"{kind}_pooling")(pyramid[:-1], boxes)
        yield f"{kind} pooling", deviation(pooled.numpy()[0], theirs[f"{kind}_pooled"])
        maps = getattr(model, f"{kind}_head")(tf.constant(theirs[f"{kind}_pooled"][None]))
        expected = theirs[f"{kind}_logits"][..., skipped:]
        yield f"{kind} logits", deviation(maps.numpy()[0], expected)


def compare_results(model, theirs: Arrays, image: Path) -> Iterator[dict]:
    """Pairs up proposals and detections, injected and from the file on.

    Yields:
        A dict of `what`, `ours`, `theirs` and `pairs`, numbers, and `unpaired`, see
        `explain_unpaired`; of detections from the file also `px` and `score`, the largest
        differences within a pair, `masks`, their number, `unequal_masks`, see there, and
        of a model with joints `joints` and `equal_joints`, numbers of them, and `joint_logit`, the
        deviation of their scores.
    """
    levels = range(sum(name.startswith("features.") for name in theirs))
    sizes = tf.constant(theirs["image_size"][None])
    logits = [tf.constant(theirs[f"rpn_logits.{i}"][None]) for i in levels]
    deltas = [tf.constant(theirs[f"rpn_deltas.{i}"][None]) for i in levels]
    pyramid = [tf.constant(theirs[f"features.{i}"][None]) for i in levels]
    anchors = model.anchors(pyramid)
    candidates, rules = _proposal_candidates(model, theirs, levels)
    expected = _with_levels(theirs["proposals"], theirs["proposal_scores"], candidates)
    found = _proposals(model, logits, deltas, anchors, sizes, candidates)
    yield _row("proposals, injected", found, expected, candidates, rules)
    ours = model.features(tf.constant(theirs["resized"][None]), sizes)
    found = _proposals(model, *model.rpn(ours), anchors, sizes, candidates)
    yield _row("proposals", found, expected, candidates, rules)

    candidates, rules = _detection_candidates(model, theirs)
    expected = Found(theirs["boxes"], theirs["scores"], theirs["classes"])
    class_logits = np.roll(theirs["class_logits"], -1, axis=-1)
    detections = model.detections(
        tf.constant(class_logits[None]),
        tf.constant(theirs["box_deltas"][None, :, 1:]),
        tf.constant(theirs["proposals"][None]),
        tf.constant([len(theirs["proposals"])]),
        sizes,
    )
    found = _cut({name: value.numpy()[0] for name, value in detections.items()})
    yield _row("detections, injected", _found(found), expected, candidates, rules)

    found, expected = detect_file(model, image, theirs), _final(theirs)
    # NMS and its ties are in pixels of the resized image.
    scale = _scale(theirs)
    sides = [_found({**side, "boxes": side["boxes"] / scale}) for side in (found, expected)]
    row = _row("detections", *sides, candidates, rules)
    ours, peers = pair_up(*sides)
    row["px"] = float(np.abs(found["boxes"][ours] - expected["boxes"][peers]).max(initial=0))
    row["score"] = float(np.abs(found["scores"][ours] - expected["scores"][peers]).max(initial=0))
    if "image_masks" in expected:
        row["masks"] = len(ours)
        row["unequal_masks"] = list(unequal_masks(found, expected, ours, peers))
    if "keypoints" in expected:
        joints, their_joints = found["keypoints"][ours], expected["keypoints"][peers]
        distance = np.abs(joints - their_joints)[..., :2].max(axis=-1)
        row["joints"] = distance.size
        row["equal_joints"] = int((distance <= JOINT_TOLERANCE).sum())
        row["joint_logit"] = deviation(joints[..., 2], expected["keypoint_scores"][peers])
    yield row


def detect_file(model, image: Path, theirs: Arrays) -> Arrays:
    """Detections of a file in its own pixels, with `image_masks`, as a user gets them."""
    if not np.array_equal(read_upright_image(image), theirs["pixels"]):
        raise ValueError(f"{image} is decoded otherwise here than by the peer's Pillow")
    found = Predictor(model, score_threshold=0.0)(image)[0]
    if "image_masks" in found:
        found["image_masks"] = found["image_masks"].astype(bool)
    return found


def unequal_masks(found: Arrays, expected: Arrays, ours, peers) -> Iterator[dict]:
    """The pairs whose pasted masks have an IoU below MASK_IOU.

    Args:
        found: with `boxes`, `classes` and `image_masks [D, H, W]`.
        expected: the same of the peer, and `undecided`, where its probability is as good as 0.5.
        ours: row of each pair in `found`.
        peers: row of each pair in `expected`.

    Yields:
        A dict of `group`, `iou`, `pixels` that differ, and `tie`: in words, or None if nothing was
        near.
    """
    corners = [
        whole_pixel_boxes(tf.constant(side["boxes"][rows]), MASK_SIZE).numpy()
        for side, rows in ((found, ours), (expected, peers))
    ]
    for pair, (row, peer) in enumerate(zip(ours, peers, strict=True)):
        first, second = (
            side["image_masks"][i].astype(bool) for side, i in ((found, row), (expected, peer))
        )
        differ, either = first ^ second, (first | second).sum()
        iou = 1 - differ.sum() / max(either, 1)
        if iou >= MASK_IOU:
            continue
        decided, tie = (differ & ~expected["undecided"][peer]).sum(), None
        if (corners[0][pair] != corners[1][pair]).any():
            tie = "a corner of the box is rounded to another pixel"
        elif 1 - decided / max(either, 1) >= MASK_IOU:
            tie = "their probability is within 1e-4 of 0.5"
        group, pixels = int(found["classes"][row]), int(differ.sum())
        yield {"group": group, "iou": float(iou), "pixels": pixels, "tie": tie}


def add_up(row: dict, before: dict | None) -> dict:
    """The row of one more image added to that of those before."""
    if before is None:
        return row
    total = {"what": row["what"]}
    for name in row.keys() - {"what"}:
        is_worst = name in ("px", "score", "joint_logit")
        total[name] = max(before[name], row[name]) if is_worst else before[name] + row[name]
    return total


def judge_pairs(row: dict) -> dict:
    """`result` in words, and `passed`: enough pairs, a tie behind each of the others."""
    without_tie = sum(each["tie"] is None for each in row["unpaired"])
    enough = row["pairs"] >= PAIRED * max(row["ours"], row["theirs"]) and row["pairs"] > 0
    text = f"{row['pairs']} of {row['theirs']} pair up"
    if "px" in row:
        text += f" within {row['px']:.1e} px and {row['score']:.1e}"
    if row["unpaired"]:
        text += f", {without_tie} of {len(row['unpaired'])} others without a tie"
    if "masks" in row:
        unequal = row["unequal_masks"]
        text += f"; {row['masks'] - len(unequal)} masks of {row['masks']} are equal"
        enough &= all(each["tie"] for each in unequal)
    if "joints" in row:
        text += f"; {row['equal_joints']} of {row['joints']} joints within {JOINT_TOLERANCE} px"
        text += f", their scores within {row['joint_logit']:.1e} of the largest"
        enough &= row["equal_joints"] >= JOINTS_EQUAL * row["joints"]
        enough &= row["joint_logit"] <= STAGE_TOLERANCE
    return {"result": text, "passed": bool(enough and not without_tie)}


def spread_of(theirs: Arrays) -> dict:
    """Of the detections of an image: how many, of how many classes, and the extreme scores."""
    scores = theirs["scores"]
    return {
        "detections": len(scores),
        "classes": len(set(theirs["classes"].tolist())),
        "lowest": float(scores.min(initial=1.0)),
        "highest": float(scores.max(initial=0.0)),
    }


def judge_spread(rows: list[dict], num_classes: int) -> dict:
    """Whether every image has something to compare: if not, agreement says little."""
    least, highest = (pick(row["highest"] for row in rows) for pick in (min, max))
    detections, classes = (min(row[name] for row in rows) for name in ("detections", "classes"))
    lowest = min(row["lowest"] for row in rows)
    text = (
        f"{detections} or more detections of {classes} or more classes an image, "
        f"scores {lowest:.2f} to {highest:.2f}, best of an image {least:.2f} or more"
    )
    is_rich = detections >= MIN_DETECTIONS and classes >= min(MIN_CLASSES, num_classes)
    return {"result": text, "passed": is_rich and lowest < 0.2 and highest > 0.8}


def _row(what: str, found: Found, expected: Found, candidates: Found, rules: Rules) -> dict:
    pairs, unpaired = explain_unpaired(found, expected, candidates, rules)
    numbers = {"ours": len(found), "theirs": len(expected), "pairs": pairs}
    return {"what": what, **numbers, "unpaired": unpaired}


def _deviation_of_levels(ours, theirs) -> float:
    pairs = zip(ours, theirs, strict=True)
    return max(deviation(np.asarray(level), np.asarray(peer)) for level, peer in pairs)


def _proposal_candidates(model, theirs: Arrays, levels) -> tuple[Found, Rules]:
    logits = [theirs[f"rpn_logits.{i}"] for i in levels]
    groups = np.concatenate([np.full(len(level), i) for i, level in enumerate(logits)])
    top = model.proposals.pre_nms_top_n
    candidates = Found(theirs["decoded"], _sigmoid(np.concatenate(logits)), groups)
    rules = Rules(model.proposals.nms_threshold, model.proposals.post_nms_top_n, most_in_group=top)
    if sum(min(top, len(level)) for level in logits) <= MOST_SHIFTED:
        rules.first_group = 0
    return candidates, rules


def _proposals(model, logits, deltas, anchors, sizes, candidates: Found) -> Found:
    boxes, logits, count = model.proposals(logits, deltas, anchors, sizes)
    rows = slice(int(count[0]))
    return _with_levels(boxes.numpy()[0, rows], _sigmoid(logits.numpy()[0, rows]), candidates)


def _with_levels(boxes, scores, candidates: Found) -> Found:
    """Proposals do not say which level they are of: that of the nearest candidate."""
    groups = np.zeros(len(boxes), int)
    order = np.argsort(candidates.scores)
    ranked = candidates.scores[order]
    for row, (box, score) in enumerate(zip(boxes, scores, strict=True)):
        first, last = np.searchsorted(ranked, [score - 2e-5, score + 2e-5])
        rows = order[first:last] if last > first else order
        distance = np.abs(candidates.boxes[rows] - box).max(axis=1)
        groups[row] = candidates.groups[rows[distance.argmin()]]
    return Found(boxes, scores, groups)


def _detection_candidates(model, theirs: Arrays) -> tuple[Found, Rules]:
    logits = theirs["class_logits"].astype(np.float64)
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    scores = (exponents / exponents.sum(axis=1, keepdims=True))[:, 1:]
    rows, classes = np.nonzero(scores > model.detections.score_threshold - 1e-4)
    deltas, rois = theirs["box_deltas"][rows, classes + 1], theirs["proposals"][rows]
    boxes = decode_boxes(tf.constant(deltas), tf.constant(rois), model.box_weights)
    boxes = clip_boxes(boxes[None], tf.constant(theirs["image_size"][None])).numpy()[0]
    layer = model.detections
    rules = Rules(layer.nms_threshold, layer.max_detections, lowest=layer.score_threshold)
    if (scores > layer.score_threshold).sum() <= MOST_SHIFTED:
        rules.first_group = 1
    return Found(boxes, scores[rows, classes].astype(np.float32), classes), rules


def _found(detections: Arrays) -> Found:
    return Found(detections["boxes"], detections["scores"], detections["classes"])


def _cut(detections: Arrays) -> Arrays:
    count = int(detections.pop("num_detections"))
    return {name: np.array(value[:count]) for name, value in detections.items()}


def _final(theirs: Arrays) -> Arrays:
    start = "final."
    final = {name[len(start) :]: theirs[name] for name in theirs if name.startswith(start)}
    height, width = theirs["pixels"].shape[:2]
    for packed, name in (("masks_packed", "image_masks"), ("undecided_packed", "undecided")):
        if packed in final:
            bits = np.unpackbits(final.pop(packed), axis=1)[:, : height * width]
            final[name] = bits.reshape(-1, height, width).astype(bool)
    return final


def _scale(theirs: Arrays) -> np.ndarray:
    height, width = theirs["pixels"].shape[:2]
    resized_height, resized_width = theirs["image_size"]
    return np.float32([width / resized_width, height / resized_height] * 2)


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return (1 / (1 + np.exp(-logits.astype(np.float64)))).astype(np.float32)
