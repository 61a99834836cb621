"""Whole models: ours beside torchvision's, and what a keypoint head adds."""

import contextlib
import os
import statistics
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from mrcnn_tf.benchmark.run import usable_cores
from mrcnn_tf.benchmark.worker import Worker, tensorflow_command, torch_command

# torchvision builds its detectors on these as well.
BACKBONES = ("resnet18", "resnet34", "resnet50", "resnet101")
KEYPOINT_CASES = ("mask", "mask_keypoints", "keypoint_convolutions")


def time_inference(
    backbone: str = "resnet50",
    size: tuple[int, int] = (800, 1333),
    batch_size: int = 1,
    max_detections: int = 100,
    rounds: int = 7,
    peers: str | os.PathLike | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> Iterator[dict]:
    """Times a forward pass of Mask R-CNN with a feature pyramid, on the CPU with all its cores.

    First beside torchvision's `maskrcnn_resnet50_fpn`, each library in a process of its own. Then
    with and without a keypoint head, all other weights the same, and the convolutions of that head
    alone, in one process. Those that are compared take turns, one call each a round.

    The weights are random, with heads that take every proposal for an object, so that both
    libraries have as many detections as they may: a mask of each is predicted.

    Args:
        backbone: of `BACKBONES`.
        size: height and width of the images.
        batch_size: images in a call.
        max_detections: rows of an image for which masks and joints are predicted.
        rounds: turns of each.
        peers: a Python that has torch, torchvision and pycocotools, see `find_peers`; None leaves
            torchvision out.
        tell: is told what is about to be measured.

    Yields:
        A dict with `row`, `backbone`, `size`, `batch_size`, `max_detections`, `rounds`, `threads`
        and, where `row` is `"torchvision"`,

        - `ours_ms`, `peer_ms`: median milliseconds a call.
        - `ours_images_per_second`, `peer_images_per_second`.
        - `ratio`: the peer's time divided by ours.
        - `ours_detections`, `peer_detections`: of the batch.

        Where it is `"keypoints"`,

        - `mask_ms`, `mask_keypoints_ms`: median milliseconds a call without and with the head.
        - `difference_ms`: the median of the differences of a round.
        - `convolutions_ms`: of the head's convolutions alone, for as many detections.
        - `ratio`: `difference_ms` divided by `convolutions_ms`; 1 means that the head costs
          nothing else.
        - `same_detections`: whether boxes and masks are the same, bit by bit, with the head.

    Raises:
        ValueError: a backbone that there is not, a number that is not positive, or a side that
            cannot run.

    Example:

    ```python
    from mrcnn_tf.benchmark import time_inference

    if __name__ == "__main__":
        for row in time_inference("resnet18", (160, 256), max_detections=5, rounds=3):
            print(row["row"], row["ratio"])
    ```
    """
    if backbone not in BACKBONES:
        raise ValueError(f"no such backbone: {backbone}; there are {', '.join(BACKBONES)}")
    numbers = {"batch_size": batch_size, "max_detections": max_detections, "rounds": rounds}
    for name, number in {"size": min(size), **numbers}.items():
        if number < 1:
            raise ValueError(f"{name} must be positive, got {number}")
    threads = usable_cores()
    shared = {"backbone": backbone, "size": list(size), **numbers, "threads": threads}
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mrcnn-tf-")))
        inputs = folder / "inputs.npz"
        images = np.random.default_rng(0).integers(0, 256, (batch_size, *size, 3), np.uint8)
        np.savez(inputs, images=images, max_detections=np.int64(max_detections))
        ours = stack.enter_context(Worker(tensorflow_command("tensorflow_models"), threads))
        results = folder / "result.npz"
        if peers is not None:
            # It ends before the keypoints are timed, and gives its memory back.
            with Worker(torch_command(peers), threads) as theirs:
                sides = [(ours, "mask"), (theirs, "mask_rcnn")]
                found = [
                    _first(*side, backbone, inputs, results, tell)["num_detections"]
                    for side in sides
                ]
                tell("torchvision: rounds")
                ours_ms, peer_ms = (
                    statistics.median(times)
                    for times in _alternate(sides, backbone, inputs, rounds)
                )
            yield {
                "row": "torchvision",
                **shared,
                "ours_ms": ours_ms,
                "peer_ms": peer_ms,
                "ours_images_per_second": 1e3 * batch_size / ours_ms,
                "peer_images_per_second": 1e3 * batch_size / peer_ms,
                "ratio": peer_ms / ours_ms,
                "ours_detections": int(found[0].sum()),
                "peer_detections": int(found[1].sum()),
            }
        sides = [(ours, case) for case in KEYPOINT_CASES]
        without, with_head, _ = (_first(*side, backbone, inputs, results, tell) for side in sides)
        tell("keypoints: rounds")
        times = _alternate(sides, backbone, inputs, rounds)
        difference = statistics.median(np.subtract(times[1], times[0]).tolist())
        mask_ms, mask_keypoints_ms, convolutions_ms = map(statistics.median, times)
        yield {
            "row": "keypoints",
            **shared,
            "mask_ms": mask_ms,
            "mask_keypoints_ms": mask_keypoints_ms,
            "difference_ms": difference,
            "convolutions_ms": convolutions_ms,
            "ratio": difference / convolutions_ms,
            "same_detections": all(
                np.array_equal(values, with_head[name]) for name, values in without.items()
            ),
        }


def _first(worker: Worker, case: str, backbone: str, inputs: Path, results: Path, tell) -> dict:
    """The result of the first call, which traces, and is not counted."""
    tell(f"{case}: the first call")
    worker.prepare(case, backbone, inputs)
    found = worker.result(results)
    worker.seconds()
    return found


def _alternate(sides, backbone: str, inputs: Path, rounds: int) -> list[list[float]]:
    """Milliseconds of every call of every side, measured in turns after `_first` of each."""
    held = dict(sides)  # the case that each worker has prepared last
    times: list[list[float]] = [[] for _ in sides]
    for _ in range(rounds):
        for (worker, case), seen in zip(sides, times, strict=True):
            if held[worker] != case:
                worker.prepare(case, backbone, inputs)
                held[worker] = case
            seen.append(1e3 * worker.seconds())
    return times
