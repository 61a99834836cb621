"""Writes tests/golden/torchvision_losses.npz: overlap losses of boxes, with their gradients.

    .venv-peers/bin/python scripts/make_golden_torchvision_losses.py
Takes a few seconds.
"""

from pathlib import Path

import numpy as np
import torch
from torchvision.ops import complete_box_iou_loss, generalized_box_iou_loss, sigmoid_focal_loss

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    generator = np.random.default_rng(1)
    corners = generator.uniform(0, 60, [2, 200, 2])
    sizes = generator.uniform(1, 40, [2, 200, 2])
    boxes, others = np.concatenate([corners, corners + sizes], axis=-1).astype(np.float32)
    others[:20] = boxes[:20] + np.float32([0, 0, 1, 1])
    golden = {"boxes": boxes, "others": others}
    for name, loss in (("giou", generalized_box_iou_loss), ("ciou", complete_box_iou_loss)):
        predictions = torch.tensor(others, requires_grad=True)
        values = loss(predictions, torch.tensor(boxes))
        values.sum().backward()
        golden |= {name: values.detach().numpy(), f"{name}_gradient": predictions.grad.numpy()}
    golden["labels"] = generator.integers(0, 2, 200).astype(np.float32)
    golden["logits"] = generator.normal(scale=4, size=200).astype(np.float32)
    logits = torch.tensor(golden["logits"], requires_grad=True)
    values = sigmoid_focal_loss(logits, torch.tensor(golden["labels"]))
    values.sum().backward()
    golden |= {"focal": values.detach().numpy(), "focal_gradient": logits.grad.numpy()}
    np.savez_compressed(ROOT / "tests/golden/torchvision_losses.npz", **golden)


if __name__ == "__main__":
    main()
