"""Make the mask targets that torchvision learns from.

    .venv-peers/bin/python scripts/make_golden_mask_targets.py [FILE]

Writes `tests/golden/mask_targets.npz` (6 kB): blobs on a 90 x 120 px image, packed, RoIs around
them and in odd places, the object of each, and what torchvision 0.29's `project_masks_on_boxes`
makes of them at 28 x 28. Takes two seconds.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from torchvision.models.detection.roi_heads import project_masks_on_boxes

FILE = Path(__file__).parents[1] / "tests" / "golden" / "mask_targets.npz"
HEIGHT, WIDTH = 90, 120


def blob(rng: np.random.Generator) -> np.ndarray:
    """An ellipse with a wavy outline, bool [H, W]."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    centre, radii = rng.uniform([20, 20], [70, 100]), rng.uniform(6, 40, 2)
    down, right = (y - centre[0]) / radii[0], (x - centre[1]) / radii[1]
    wave = 1 + 0.3 * np.sin(rng.integers(2, 7) * np.arctan2(down, right))
    return np.hypot(down, right) < wave


def main(path: Path) -> None:
    rng = np.random.default_rng(0)
    masks = np.stack([blob(rng) for _ in range(4)])
    rois, matches = [], []
    for index, mask in enumerate(masks):
        rows, columns = np.nonzero(mask)
        box = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        for moved in (box, box + rng.normal(0, 6, 4), box + rng.normal(0, 20, 4)):
            low, high = np.minimum(moved[:2], moved[2:]), np.maximum(moved[:2], moved[2:])
            rois.append(np.concatenate([low, high]).clip(0, [WIDTH, HEIGHT] * 2))
            matches.append(index)
    rois, matches = np.array(rois, np.float32), np.array(matches)
    targets = project_masks_on_boxes(
        torch.from_numpy(masks), torch.from_numpy(rois), torch.from_numpy(matches), 28
    )
    np.savez_compressed(
        path,
        masks_packed=np.packbits(masks.reshape(len(masks), -1), axis=1),
        rois=rois,
        matches=matches.astype(np.int32),
        targets=targets.numpy(),
    )
    print(f"{path}: {path.stat().st_size} bytes, mean target {targets.mean():.3f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FILE)
