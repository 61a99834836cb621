"""Writes tests/golden/torchvision_training.npz: a training step of torchvision's Mask R-CNN.

    .venv-peers/bin/python scripts/make_golden_torchvision_training.py [FILE]

Takes ten seconds and downloads nothing. `maskrcnn_resnet50_fpn` as its weights `COCO_V1` make it,
with weights made up from their names (tests/weights/seeded_detector.py), learns from a batch of two
seeded images of SIZES, which are not resized. The file has, of every image i, its objects
`boxes.i`, `labels.i` (torchvision's) and `masks_packed.i`, the samples of
`TrainingRecorder.samples`, and `anchor_labels.i`; every loss by torchvision's name; and of every
trained tensor its name in `trained`, the norm of its gradient in `gradient_norms` and four values
of it in `gradient_samples`, at eighths 1, 3, 5 and 7 of the tensor.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from peer_torchvision import ROOT, TrainingRecorder, as_input, published_model

from tests.weights.seeded_detector import seeded_image

FILE = ROOT / "tests" / "golden" / "torchvision_training.npz"
SIZES = ((64, 96), (96, 72))
LABELS = ((1, 17, 44), (90, 1))


def objects(size: tuple[int, int], count: int) -> tuple[np.ndarray, np.ndarray]:
    """Ellipses, bool `[count, H, W]`, and boxes `[count, 4]` a little wider than they are."""
    rng = np.random.default_rng(size)
    rows, columns = np.mgrid[: size[0], : size[1]] + 0.5
    masks, boxes = [], []
    for _ in range(count):
        centre, radii = rng.uniform(0.3, 0.7, 2) * size, rng.uniform(0.1, 0.28, 2) * size
        mask = np.hypot((rows - centre[0]) / radii[0], (columns - centre[1]) / radii[1]) < 1
        masks.append(mask)
        box = np.stack([centre - radii, centre + radii])[:, ::-1].reshape(4)
        boxes.append(box + [-0.3, -0.4, 0.2, 0.1])
    return np.stack(masks), np.array(boxes, np.float32)


def main(path: Path) -> None:
    model = published_model("maskrcnn_resnet50_fpn")
    model.transform._skip_resize = True
    images, targets, golden = [], [], {}
    for i, (size, labels) in enumerate(zip(SIZES, LABELS, strict=True)):
        masks, boxes = objects(size, len(labels))
        images.append(as_input(seeded_image(*size)))
        targets.append(
            {
                "boxes": torch.from_numpy(boxes),
                "labels": torch.tensor(labels),
                "masks": torch.from_numpy(masks.astype(np.uint8)),
            }
        )
        golden |= {f"boxes.{i}": boxes, f"labels.{i}": np.int32(labels)}
        golden[f"masks_packed.{i}"] = np.packbits(masks.reshape(len(masks), -1), axis=1)
    recorder = TrainingRecorder(model)
    losses = recorder.losses(images, targets)
    sum(losses.values()).backward()
    golden |= {name: loss.detach().numpy() for name, loss in losses.items()}
    golden |= recorder.samples()
    for i, labels in enumerate(recorder.anchor_labels()):
        golden[f"anchor_labels.{i}"] = labels
    trained = {name: each.grad for name, each in model.named_parameters() if each.requires_grad}
    golden["trained"] = np.array(list(trained))
    golden["gradient_norms"] = np.float32([each.norm() for each in trained.values()])
    golden["gradient_samples"] = np.stack([samples(each) for each in trained.values()])
    np.savez_compressed(path, **golden)
    print({name: round(loss.item(), 4) for name, loss in losses.items()})
    print(f"{path}: {path.stat().st_size} bytes, {len(trained)} trained tensors")


def samples(gradient: torch.Tensor) -> np.ndarray:
    return gradient.flatten()[[gradient.numel() * eighth // 8 for eighth in (1, 3, 5, 7)]].numpy()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FILE)
