"""Reading of training batches: ours beside torchvision's reference pipeline."""

import contextlib
import os
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mrcnn_tf.benchmark.run import usable_cores
from mrcnn_tf.benchmark.worker import Worker, tensorflow_command, torch_command


def time_pipeline(
    images: str | os.PathLike,
    annotations: str | os.PathLike,
    size: tuple[int, int] = (800, 1333),
    batch_size: int = 2,
    rounds: int = 7,
    peers: str | os.PathLike | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> dict:
    """Times a pass over a COCO folder: from files to shuffled, flipped, padded batches with masks.

    The peer is what torchvision's reference trains with: `CocoDetection` with polygons made to
    masks, a flip, tensors, a `DataLoader` with as many worker processes as there are cores, then
    the resizing, normalisation and batching of `GeneralizedRCNNTransform`, which is part of its
    model and works in the main process. Either reads every file anew, and leaves out images
    without objects. They take turns, one pass each a round.

    Args:
        images: folder of the images.
        annotations: COCO annotation file.
        size: (short side, long side) that images are resized to.
        batch_size: images a batch.
        rounds: turns of each.
        peers: a Python that has torch, torchvision and pycocotools, see `find_peers`; None leaves
            torchvision out.
        tell: is told what is about to be measured.

    Returns:
        A dict with `size`, `batch_size`, `rounds`, `threads`, `images` (of a pass) and

        - `ours_images_per_second`, `peer_images_per_second`: the median of the rounds.
        - `ours_objects`, `peer_objects`: of a pass, without crowds: the same if both read alike.
        - `ratio`: our images a second divided by the peer's.

        Those of the peer are None without one.

    Raises:
        ValueError: a number that is not positive, a side that cannot run, or two sides that did
            not read the same images.

    Example:

    ```python
    from mrcnn_tf.benchmark import time_pipeline

    if __name__ == "__main__":
        print(time_pipeline("photos/images", "photos/annotations/train.json", (96, 160)))
    ```
    """
    numbers = {"batch_size": batch_size, "rounds": rounds}
    for name, number in {"size": min(size), **numbers}.items():
        if number < 1:
            raise ValueError(f"{name} must be positive, got {number}")
    threads = usable_cores()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mrcnn-tf-")))
        inputs = folder / "inputs.npz"
        paths = [os.path.abspath(path) for path in (images, annotations)]
        np.savez(inputs, paths=paths, size=size, batch_size=batch_size)
        commands = {"ours": tensorflow_command("tensorflow_pipeline")}
        if peers is not None:
            commands["torchvision"] = torch_command(peers, "torch_pipeline")
        workers, found = {}, {}
        for side, command in commands.items():
            tell(f"{side}: the first pass")
            workers[side] = stack.enter_context(Worker(command, threads))
            workers[side].prepare("pipeline", side, inputs)
            found[side] = workers[side].result(folder / "result.npz")
        ids = [sides["image_ids"] for sides in found.values()]
        if not all(np.array_equal(ids[0], other) for other in ids):
            raise ValueError(
                f"ours read {len(ids[0])} images and torchvision {len(ids[-1])}, or others"
            )
        times: dict[str, list[float]] = {side: [] for side in workers}
        for number in range(rounds):
            for side, worker in workers.items():
                tell(f"{side}: round {number + 1} of {rounds}")
                times[side].append(worker.seconds())
    speeds = {side: len(ids[0]) / statistics.median(seconds) for side, seconds in times.items()}
    objects = {side: int(result["objects"]) for side, result in found.items()}
    peer_speed = speeds.get("torchvision")
    return {
        "size": list(size),
        **numbers,
        "threads": threads,
        "images": len(ids[0]),
        "ours_images_per_second": speeds["ours"],
        "peer_images_per_second": peer_speed,
        "ours_objects": objects["ours"],
        "peer_objects": objects.get("torchvision"),
        "ratio": speeds["ours"] / peer_speed if peer_speed else None,
    }
