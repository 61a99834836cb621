"""How far the results of two sides agree, so that a fast wrong answer is seen."""

import numpy as np

Arrays = dict[str, np.ndarray]


def same_values(ours: Arrays, theirs: Arrays) -> dict:
    """Largest absolute difference over all arrays."""
    largest = 0.0
    for name, values in ours.items():
        if values.shape != theirs[name].shape:
            return {"largest_difference": None}
        difference = np.abs(values - theirs[name]).max(initial=0.0)
        largest = max(largest, float(difference)) if np.isfinite(difference) else float("inf")
    return {"largest_difference": largest if np.isfinite(largest) else None}


def same_indices(ours: Arrays, theirs: Arrays) -> dict:
    """Lists of indices: identical, and the share that is in both."""
    first, second = ours["indices"], theirs["indices"]
    both = np.intersect1d(first, second).size
    return {
        "identical": bool(np.array_equal(first, second)),
        "common": both / max(len(first), len(second), 1),
    }


def same_boxes(ours: Arrays, theirs: Arrays) -> dict:
    """Rows of numbers in order: identical to 0.01, and the share that has a like in the other."""
    first, second = ours["boxes"], theirs["boxes"]
    if first.shape == second.shape and np.allclose(first, second, rtol=0, atol=0.01):
        return {"identical": True, "common": 1.0}
    far = np.abs(first[:, None] - second[None]).max(axis=-1, initial=0.0)
    like = (far <= 0.01).any(axis=1).sum() if second.size else 0
    return {"identical": False, "common": int(like) / max(len(first), len(second), 1)}


def same_matches(ours: Arrays, theirs: Arrays) -> dict:
    """Matches of anchors: the share that is equal."""
    share = float(np.mean(ours["matches"] == theirs["matches"]))
    return {"identical": share == 1.0, "common": share}


def same_masks(ours: Arrays, theirs: Arrays) -> dict:
    """IoU of the masks that the run lengths stand for."""
    from pycocotools import mask as mask_utils

    ious = []
    height, width = (int(side) for side in ours["image_size"])
    for first, second in zip(ours["counts"], theirs["counts"], strict=True):
        pair = [{"size": [height, width], "counts": bytes(counts)} for counts in (first, second)]
        if any(mask_utils.area(mask) for mask in pair):
            ious.append(float(mask_utils.iou(pair[:1], pair[1:], [0])[0, 0]))
    return {"iou_min": min(ious, default=1.0), "iou_median": float(np.median(ious or [1.0]))}


def describe(agreement: dict) -> str:
    """One short text for a table."""
    if "iou_min" in agreement:
        return f"IoU min {agreement['iou_min']:.3f}, median {agreement['iou_median']:.3f}"
    if "largest_difference" in agreement:
        largest = agreement["largest_difference"]
        return "NOT COMPARABLE" if largest is None else f"difference <= {largest:.1e}"
    if agreement["identical"]:
        return "identical"
    return f"{100 * agreement['common']:.2f} % in common"
