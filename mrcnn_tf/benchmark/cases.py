"""The cases of `mrcnn-tf benchmark ops`."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from mrcnn_tf.benchmark import agreement, inputs, roi_cells

Arrays = dict[str, np.ndarray]


class Case(NamedTuple):
    """One thing that is timed.

    Attributes:
        name: as `--cases` takes it.
        what: one line for people.
        inputs: `(random numbers, shrink) -> arrays`.
        peers: what ours is compared with, in the order of the table.
        compare: `(our result, theirs) -> how far they agree`.
        least_bytes: of the inputs, what has to be read and written at least once; None where
            memory is not what bounds the case.
        memory: whether the peak of memory is measured too.
    """

    name: str
    what: str
    inputs: Callable[[np.random.Generator, int], Arrays]
    peers: tuple[str, ...]
    compare: Callable[[Arrays, Arrays], dict]
    least_bytes: Callable[[Arrays], int] | None = None
    memory: bool = False


def _aligned(arrays: Arrays) -> int:
    return roi_cells.forward_bytes(arrays, aligned=True)


def _unaligned(arrays: Arrays) -> int:
    return roi_cells.forward_bytes(arrays, aligned=False)


_BOX_POOL = inputs.roi_align(1000, 7, (4,))
_MASK_POOL = inputs.roi_align(100, 14, (4,))
_PEERS = ("torchvision", "plain")

CASES = {
    case.name: case
    for case in (
        Case(
            "roi_align_7",
            "RoIAlign, 1000 boxes to 7 x 7, on 200 x 336 x 256 at stride 4",
            *(_BOX_POOL, _PEERS, agreement.same_values, _aligned),
        ),
        Case(
            "roi_align_14",
            "RoIAlign, 100 boxes to 14 x 14, on the same map",
            *(_MASK_POOL, _PEERS, agreement.same_values, _aligned),
        ),
        Case(
            "roi_align_7_grad",
            "the backward pass of roi_align_7 alone",
            *(_BOX_POOL, _PEERS, agreement.same_values, roi_cells.backward_bytes),
        ),
        Case(
            "roi_align_14_grad",
            "the backward pass of roi_align_14 alone",
            *(_MASK_POOL, _PEERS, agreement.same_values, roi_cells.backward_bytes),
        ),
        Case(
            "roi_align_pyramid",
            "RoIAlign, 1000 boxes to 7 x 7 out of P2 to P5 of an 800 x 1333 image",
            inputs.roi_align(1000, 7, inputs.STRIDES),
            *(_PEERS, agreement.same_values, _unaligned),
        ),
        Case(
            "nms_12000",
            "NMS of 12,000 spread boxes at IoU 0.7, all that remain",
            *(inputs.nms(12_000), _PEERS, agreement.same_indices),
        ),
        Case(
            "nms_top1000",
            "the same, the best 1000",
            *(inputs.nms(1000), ("tf.image", "plain"), agreement.same_indices),
        ),
        Case(
            "batched_nms",
            "NMS by class of 1000 boxes x 80 classes, scores above 0.05, the best 100",
            *(inputs.batched_nms, ("torchvision", "tf.image", "plain"), agreement.same_boxes),
        ),
        Case(
            "proposals",
            "RPN outputs of 5 levels at 800 x 1333 to 1000 proposals, 2000 a level before NMS",
            inputs.proposals,
            ("torchvision", "torchvision (decoded)", "plain"),
            agreement.same_boxes,
        ),
        Case(
            "masks_to_rle",
            "100 masks of 28 x 28 to COCO run lengths at 800 x 1333",
            *(inputs.masks_to_rle, _PEERS, agreement.same_masks),
            memory=True,
        ),
        Case(
            "match_boxes",
            "268,569 anchors to 100 boxes",
            *(inputs.match_boxes, _PEERS, agreement.same_matches),
            memory=True,
        ),
        Case(
            "mask_targets",
            "28 x 28 targets of 128 RoIs from 20 objects of an 800 x 1333 image",
            *(inputs.mask_targets, _PEERS, agreement.same_values),
            memory=True,
        ),
    )
}
