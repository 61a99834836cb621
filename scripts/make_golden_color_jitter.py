"""Make the pixels that torchvision's changes of colour give.

    .venv-peers/bin/python scripts/make_golden_color_jitter.py [FILE]

Writes `tests/golden/color_jitter.npz` (14 kB) with torchvision 0.29's `adjust_brightness`,
`adjust_contrast` and `adjust_saturation` of a Pillow image and `adjust_hue` of a tensor: `image`,
16 x 20 px, and its pixels as `NAME_AMOUNT`. Takes ten seconds.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import functional

FILE = Path(__file__).parents[1] / "tests" / "golden" / "color_jitter.npz"


def main(path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (16, 20, 3), np.uint8)
    image[:4] = image[:4, :, :1]  # greys have no hue
    pixels, tensor = Image.fromarray(image), torch.from_numpy(image).permute(2, 0, 1)
    arrays = {"image": image}
    for name in ("brightness", "contrast", "saturation"):
        for factor in (0.0, 0.4, 1.0, 1.7):
            change = getattr(functional, f"adjust_{name}")
            arrays[f"{name}_{factor}"] = np.asarray(change(pixels, factor))
    for amount in (-0.5, -0.13, 0.0, 0.3):
        arrays[f"hue_{amount}"] = functional.adjust_hue(tensor, amount).permute(1, 2, 0).numpy()
    np.savez_compressed(path, **arrays)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FILE)
