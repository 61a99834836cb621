"""Compares what two detectors found: which results pair up, and what near tie parted the rest.

NumPy only. Rounding decides who wins where two scores, or an IoU and its threshold, are as good as
equal, and one decision that falls otherwise changes which boxes are kept after it. So results are
paired up, and each one without partner has to name the tie it hangs on.
"""

from dataclasses import dataclass

import numpy as np

BOX_TOLERANCE = 0.01  # px
# torchvision with other convolution kernels differs from itself by 1.2e-5.
SCORE_TOLERANCE = 2e-5
IOU_TOLERANCE = 1e-4
# Counterparts that are so many times the tolerances apart are no pair, but no tie is looked for.
NEAR = 5


@dataclass
class Found:
    """Boxes that a detector kept, best first, or could have kept.

    Attributes:
        boxes: `[N, 4]`, pixels.
        scores: `[N]`.
        groups: `[N]` int, class or pyramid level; NMS is within a group.
    """

    boxes: np.ndarray
    scores: np.ndarray
    groups: np.ndarray

    def __len__(self) -> int:
        return len(self.scores)


@dataclass
class Rules:
    """How boxes were chosen out of all candidates.

    Attributes:
        iou_threshold: of NMS.
        most: boxes kept.
        lowest: score of a candidate, or None.
        most_in_group: candidates of a group that NMS considers, or None.
        first_group: number that the peer gives to group 0, where its NMS moves the groups apart by
            adding to the coordinates in float32; None where it does not.
    """

    iou_threshold: float
    most: int
    lowest: float | None = None
    most_in_group: int | None = None
    first_group: int | None = None


def deviation(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Largest difference, relative to the largest value of theirs."""
    if ours.shape != theirs.shape:
        raise ValueError(f"shapes differ: {ours.shape} here, {theirs.shape} there")
    if not theirs.size:
        return 0.0
    largest = np.abs(ours - theirs).max() / max(np.abs(theirs).max(), 1e-30)
    return float(largest) if np.isfinite(largest) else float("inf")


def pair_up(ours: Found, theirs: Found) -> tuple[np.ndarray, np.ndarray]:
    """Rows of ours and of theirs that are the same: group, box and score; each at most once."""
    partners, free = [], np.ones(len(theirs), bool)
    for row in range(len(ours)):
        close = free & (theirs.groups == ours.groups[row])
        close &= np.abs(theirs.scores - ours.scores[row]) <= SCORE_TOLERANCE
        rows = np.flatnonzero(close)
        distance = np.abs(theirs.boxes[rows] - ours.boxes[row]).max(axis=1, initial=0)
        if len(rows) and distance.min() <= BOX_TOLERANCE:
            partner = rows[distance.argmin()]
            free[partner] = False
            partners.append((row, partner))
    rows = np.array(partners, int).reshape(-1, 2)
    return rows[:, 0], rows[:, 1]


def explain_unpaired(
    ours: Found, theirs: Found, candidates: Found, rules: Rules
) -> tuple[int, list[dict]]:
    """Pairs results up and looks for the near tie behind each that has no partner.

    Args:
        ours: what this package kept.
        theirs: what the peer kept.
        candidates: everything that the peer could have kept.
        rules: by which it chose.

    Returns:
        The number of pairs, and of every result without partner a dict of `side`, `group`, `score`,
        `box` and `tie`: what decided, or how far its counterpart is if that is less than NEAR times
        the tolerances, in words; None if nothing was near.
    """
    our_rows, their_rows = pair_up(ours, theirs)
    alone = [np.setdiff1d(np.arange(len(ours)), our_rows)]
    alone.append(np.setdiff1d(np.arange(len(theirs)), their_rows))
    kept, is_ours = _concatenate(ours, theirs), np.arange(len(ours) + len(theirs)) < len(ours)
    is_alone = np.zeros(len(kept), bool)
    is_alone[np.concatenate([alone[0], len(ours) + alone[1]]).astype(int)] = True
    rows = []
    for side, found, unpaired in (("ours", ours, alone[0]), ("theirs", theirs, alone[1])):
        for row in unpaired:
            at = row if side == "ours" else len(ours) + row
            tie = _near_partner(kept, at, is_alone & (is_ours != is_ours[at]))
            tie = tie or _tie(kept, at, is_alone, theirs, candidates, rules)
            box = [round(float(value), 3) for value in found.boxes[row]]
            score, group = float(found.scores[row]), int(found.groups[row])
            rows.append({"side": side, "group": group, "score": score, "box": box, "tie": tie})
    return len(our_rows), rows


def _near_partner(kept, at, is_other) -> str | None:
    rows = np.flatnonzero(is_other & (kept.groups == kept.groups[at]))
    moved = np.abs(kept.boxes[rows] - kept.boxes[at]).max(axis=1)
    changed = np.abs(kept.scores[rows] - kept.scores[at])
    near = (moved <= NEAR * BOX_TOLERANCE) & (changed <= NEAR * SCORE_TOLERANCE)
    if not near.any():
        return None
    row = np.flatnonzero(near)[0]
    return f"no tie, but {moved[row]:.1e} px and {changed[row]:.1e} of score from its counterpart"


def _tie(kept, at, is_alone, theirs, candidates, rules) -> str | None:
    box, score, group = kept.boxes[at], kept.scores[at], kept.groups[at]
    others = np.arange(len(kept)) != at
    same = np.flatnonzero(candidates.groups == group)
    near = same[np.abs(candidates.boxes[same] - box).max(axis=1) <= BOX_TOLERANCE]
    if not (np.abs(candidates.scores[near] - score) <= NEAR * SCORE_TOLERANCE).any():
        return None  # the other side has no such box at all: this is no tie

    rivals = np.flatnonzero(others & (kept.groups == group))
    overlaps = _iou(box, kept.boxes[rivals])
    gaps = kept.scores[rivals] - score
    if rules.lowest is not None and abs(score - rules.lowest) <= SCORE_TOLERANCE:
        return f"score {abs(score - rules.lowest):.1e} from the lowest that is kept"
    if rules.most_in_group is not None and len(same) > rules.most_in_group:
        last = np.sort(candidates.scores[same])[-rules.most_in_group]
        if abs(score - last) <= SCORE_TOLERANCE:
            return f"score {abs(score - last):.1e} from the {rules.most_in_group}th of its level"
    # Only a rival that is as good may decide.
    as_good = gaps >= -SCORE_TOLERANCE
    distance = np.abs(overlaps - rules.iou_threshold)
    if as_good.any() and distance[as_good].min() <= IOU_TOLERANCE:
        return f"IoU {distance[as_good].min():.1e} from the threshold"
    if rules.first_group is not None and as_good.any():
        moved = _shifted_iou(box, kept.boxes[rivals], rules.first_group + group, candidates)
        changed = as_good & ((overlaps > rules.iou_threshold) != (moved > rules.iou_threshold))
        if changed.any():
            rival = np.flatnonzero(changed)[0]
            return (
                f"IoU {overlaps[rival]:.5f}, or {moved[rival]:.5f} in coordinates that "
                "torchvision has rounded to tell classes apart"
            )
    doubles = overlaps > rules.iou_threshold - IOU_TOLERANCE
    if (doubles & (np.abs(gaps) <= SCORE_TOLERANCE)).any():
        gap = np.abs(gaps[doubles]).min()
        return f"score {gap:.1e} from a double's"
    if (doubles & is_alone[rivals]).any():
        return "follows from another of these, with which it overlaps"
    if len(theirs) >= rules.most:
        # As many as are without partner above it may have pushed it out.
        pushed = int((is_alone & others & (kept.scores >= score - SCORE_TOLERANCE)).sum())
        last = theirs.scores[max(rules.most - 1 - pushed, 0)]
        if score <= last + SCORE_TOLERANCE:
            return f"one of the last: {pushed} of these stand before it or beside it"
    return None


def _iou(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    box, boxes = box.astype(np.float64), boxes.astype(np.float64)
    sides = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    shared = np.prod(np.maximum(sides, 0), axis=1)
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    return shared / np.maximum(np.prod(box[2:] - box[:2]) + areas - shared, 1e-30)


def _shifted_iou(box, boxes, group: int, candidates: Found) -> np.ndarray:
    """The IoU after torchvision's `_batched_nms_coordinate_trick`."""
    shift = np.float32(group) * (candidates.boxes.max() + np.float32(1))
    return _iou(box + shift, boxes + shift)


def _concatenate(first: Found, second: Found) -> Found:
    return Found(
        np.concatenate([first.boxes, second.boxes]),
        np.concatenate([first.scores, second.scores]),
        np.concatenate([first.groups, second.groups]),
    )
