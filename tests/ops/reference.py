"""The ops again in slow NumPy, one box at a time, straight from their definitions."""

import math

import numpy as np

GOLDEN = "detectron2_units.npz"


def bilinear(features: np.ndarray, y: float, x: float) -> np.ndarray:
    """The value of `features [H, W, C]` at a point; 0 more than one cell outside."""
    height, width, channels = features.shape
    if not (-1 <= y <= height and -1 <= x <= width):
        return np.zeros(channels)
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    down, across = y - top, x - left
    upper = features[top, left] * (1 - across) + features[top, right] * across
    lower = features[bottom, left] * (1 - across) + features[bottom, right] * across
    return upper * (1 - down) + lower * down


def roi_align(pyramid, boxes, size, strides, sampling_ratio, aligned, canonical=(224, 4)):
    """RoIAlign of `boxes [N, 4]` from one image's maps `[H, W, C]`, in float64."""
    pooled = np.zeros([len(boxes), size, size, pyramid[0].shape[-1]])
    for n, box in enumerate(np.asarray(boxes, np.float64)):
        if not np.isfinite(box).all():
            continue
        side = math.sqrt(max(box[2] - box[0], 0) * max(box[3] - box[1], 0))
        level = math.floor(canonical[1] + math.log2(side / canonical[0] + 1e-8))
        levels = [int(math.log2(stride)) for stride in strides]
        index = int(np.clip(level, levels[0], levels[-1])) - levels[0]
        features, stride = pyramid[index].astype(np.float64), strides[index]
        x1, y1, x2, y2 = box / stride - (0.5 if aligned else 0)
        width, height = x2 - x1, y2 - y1
        if not aligned:
            width, height = max(width, 1), max(height, 1)
        rows = sampling_ratio or math.ceil(height / size)
        columns = sampling_ratio or math.ceil(width / size)
        for i in range(size):
            for j in range(size):
                points = [
                    bilinear(
                        features,
                        y1 + (i + (a + 0.5) / rows) * height / size,
                        x1 + (j + (b + 0.5) / columns) * width / size,
                    )
                    for a in range(rows)
                    for b in range(columns)
                ]
                if points:
                    pooled[n, i, j] = np.mean(points, axis=0)
    return pooled


def iou(box, other) -> np.float32:
    """IoU of two boxes in float32, 0 where a box is empty."""
    with np.errstate(all="ignore"):
        sizes = [np.maximum(b[2:] - b[:2], np.float32(0)) for b in (box, other)]
        areas = [size[0] * size[1] for size in sizes]
        shared = np.maximum(
            np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2]), np.float32(0)
        )
        intersection = shared[0] * shared[1]
        union = areas[0] + areas[1] - intersection
        return intersection / union if union > 0 else np.float32(0)


def nms_candidates(boxes, scores, score_threshold, pre_nms_top_n) -> list[int]:
    """Indices of the boxes that take part, best first."""
    usable = [
        i
        for i in range(len(boxes))
        if np.isfinite(boxes[i]).all() and np.isfinite(scores[i]) and scores[i] > score_threshold
    ]
    return sorted(usable, key=lambda i: (-scores[i], i))[: pre_nms_top_n or None]


def nms(
    boxes, scores, classes, iou_threshold, score_threshold, max_output, pre_nms_top_n=0
) -> list[int]:
    """Indices of the boxes that are kept, best first."""
    kept: list[int] = []
    for i in nms_candidates(boxes, scores, score_threshold, pre_nms_top_n):
        if len(kept) == max_output:
            break
        rivals = [k for k in kept if classes[k] == classes[i]]
        if all(iou(boxes[i], boxes[k]) <= np.float32(iou_threshold) for k in rivals):
            kept.append(i)
    return kept


def soft_nms(
    boxes,
    scores,
    classes,
    method,
    sigma,
    iou_threshold,
    score_threshold,
    max_output,
    pre_nms_top_n=0,
) -> list[tuple[int, np.float32]]:
    """Indices of the boxes that are kept and their lowered scores, best first."""
    candidates = nms_candidates(boxes, scores, score_threshold, pre_nms_top_n)
    left = {i: np.float32(scores[i]) for i in candidates}
    kept: list[tuple[int, np.float32]] = []
    while left and len(kept) < max_output:
        best = min(left, key=lambda i: (-left[i], i))
        kept.append((best, left.pop(best)))
        for i in [i for i in left if classes[i] == classes[best]]:
            overlap = iou(boxes[i], boxes[best])
            if method == "gaussian":
                left[i] *= np.exp(-(overlap * overlap) / np.float32(sigma))
            elif overlap > np.float32(iou_threshold):
                left[i] *= np.float32(1) - overlap
        left = {i: score for i, score in left.items() if score > np.float32(score_threshold)}
    return kept


def match_boxes(anchors, boxes, valid, high, low, allow_low_quality) -> list[int]:
    """The match of every anchor of one image."""
    usable = [m for m in range(len(boxes)) if valid[m] and np.isfinite(boxes[m]).all()]
    matrix = np.array(
        [
            [iou(boxes[m], a) if np.isfinite(a).all() else np.float32(0) for a in anchors]
            for m in usable
        ],
        np.float32,
    ).reshape(len(usable), len(anchors))
    matches = []
    for a in range(len(anchors)):
        if not usable:
            matches.append(-1)
            continue
        column = matrix[:, a]
        nearest = usable[int(column.argmax())]
        best = column.max()
        match = nearest if best >= np.float32(high) else -2 if best >= np.float32(low) else -1
        if allow_low_quality and any(
            column[m] > 0 and column[m] == matrix[m].max() for m in range(len(usable))
        ):
            match = nearest
        matches.append(match)
    return matches


def proposals(logits, deltas, anchors, image_size, pre_nms_top_n, post_nms_top_n, threshold, size):
    """The proposals of one image, best first: a list of (logit, level, anchor, box)."""
    kept = []
    for level, (scores, moves, priors) in enumerate(zip(logits, deltas, anchors, strict=True)):
        usable = [i for i in range(len(scores)) if np.isfinite(scores[i])]
        order = sorted(usable, key=lambda i: (-scores[i], i))[:pre_nms_top_n]
        boxes = []
        for i in order:
            with np.errstate(all="ignore"):
                sides = priors[i, 2:] - priors[i, :2]
                centre = moves[i, :2] * sides + (priors[i, :2] + np.float32(0.5) * sides)
                limit = np.float32(math.log(1000 / 16))
                half = np.float32(0.5) * np.exp(np.minimum(moves[i, 2:], limit)) * sides
                box = np.concatenate([centre - half, centre + half])
            if not np.isfinite(box).all():
                continue
            height, width = image_size
            box = np.clip(box, 0, np.array([width, height, width, height], np.float32))
            if (box[2:] - box[:2] < size).any():
                continue
            if all(iou(box, other) <= np.float32(threshold) for _, other in boxes):
                boxes.append((i, box))
        kept += [(scores[i], level, i, box) for i, box in boxes]
    return sorted(kept, key=lambda row: (-row[0], row[1], row[2]))[:post_nms_top_n]
