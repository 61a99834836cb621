"""Make the sizes and pixels that torchvision resizes images to.

    .venv-peers/bin/python scripts/make_golden_resize_image.py [FILE]

Writes `tests/golden/resize_image.npz` (37 kB) with torchvision 0.29's `GeneralizedRCNNTransform`:
`shapes` (height, width) and, for 800 and 1333 px, their `resized` ones; an `image` of 60 x 83 px
and its pixels at short side 91 (`larger`) and 37 (`smaller`), every seventh value, 0 to 255. Takes
ten seconds.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from torchvision.models.detection.transform import GeneralizedRCNNTransform

FILE = Path(__file__).parents[1] / "tests" / "golden" / "resize_image.npz"


def resized(image: torch.Tensor, short_side: int, long_side: int) -> torch.Tensor:
    transform = GeneralizedRCNNTransform(short_side, long_side, [0.0], [1.0]).eval()
    return transform.resize(image)[0]


def main(path: Path) -> None:
    rng = np.random.default_rng(0)
    shapes = rng.integers(100, 1200, (200, 2))
    shapes[:4] = [480, 640], [640, 480], [398, 640], [480, 1000]
    sizes = [resized(torch.zeros(1, *shape), 800, 1333).shape[1:] for shape in shapes.tolist()]
    image = rng.integers(0, 256, (60, 83, 3), dtype=np.uint8)
    pixels = torch.from_numpy(image).permute(2, 0, 1) / 255
    larger, smaller = (resized(pixels, side, 1333) * 255 for side in (91, 37))
    np.savez_compressed(
        path,
        shapes=shapes.astype(np.int16),
        resized=np.array(sizes, np.int16),
        image=image,
        larger=larger.permute(1, 2, 0).reshape(-1)[::7].numpy(),
        smaller=smaller.permute(1, 2, 0).reshape(-1)[::7].numpy(),
    )
    print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FILE)
