"""Make the pixels that torchvision sets when it pastes masks.

    .venv-peers/bin/python scripts/make_golden_paste_masks.py [FILE]

Writes `tests/golden/paste_masks.npz` (20 kB): 16 masks of 28 x 28 probabilities, smooth and noisy,
boxes in, across and around an image of 60 x 80 px, and the pixels above 0.5 after torchvision
0.29's `paste_masks_in_image`, packed. Takes two seconds.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from torchvision.models.detection.roi_heads import paste_masks_in_image

FILE = Path(__file__).parents[1] / "tests" / "golden" / "paste_masks.npz"
HEIGHT, WIDTH = 60, 80


def main(path: Path) -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(16, 7, 7)).repeat(4, 1).repeat(4, 2)
    rows, columns = np.mgrid[:28, :28] / 13.5 - 1
    blobs = 4 * (1 - rows**2 / rng.uniform(0.2, 1, (16, 1, 1)) - columns**2)
    masks = 1 / (1 + np.exp(-blobs - noise * (np.arange(16) % 2)[:, None, None]))
    masks = masks.astype(np.float16)
    centre = rng.uniform([0, 0], [WIDTH, HEIGHT], (16, 2))
    sides = np.exp(rng.uniform(np.log(0.3), np.log(60), (16, 2)))
    boxes = np.concatenate([centre - sides / 2, centre + sides / 2], 1).astype(np.float32)
    boxes[:3] = [[-10, -20, 100, 90], [3, 4, 31, 32], [0, 0, WIDTH, HEIGHT]]
    pasted = paste_masks_in_image(
        torch.from_numpy(masks.astype(np.float32))[:, None],
        torch.from_numpy(boxes),
        (HEIGHT, WIDTH),
    )
    pixels = pasted[:, 0].numpy() > 0.5
    packed = np.packbits(pixels.reshape(len(masks), -1), axis=1)
    np.savez_compressed(path, masks=masks, boxes=boxes, pixels_packed=packed)
    print(f"{path}: {path.stat().st_size} bytes, {pixels.sum((1, 2)).tolist()} pixels")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FILE)
