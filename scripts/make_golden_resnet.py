"""Writes tests/golden/resnet.npz from torchvision's ResNets and feature pyramid.

Needs an environment of its own, without TensorFlow:
    pip install torch torchvision
    python scripts/make_golden_resnet.py
Takes a few seconds. The weights are made up from their names (tests/weights/seeded_tensors.py), so
nothing is downloaded and the file is small: an input and every 37th value of C2 to C5, of each
depth, and of P2 to P6 on top of ResNet-18, in `[B, H, W, C]` order.
"""

import sys
from pathlib import Path

import numpy as np
import torch
import torchvision
from torchvision.models.feature_extraction import create_feature_extractor
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.weights.seeded_tensors import samples, seeded_tensor  # noqa: E402

LEVELS = {f"layer{i}": f"c{i + 1}" for i in range(1, 5)}


def seed(module: torch.nn.Module) -> None:
    for name, tensor in module.state_dict().items():
        if tensor.dtype == torch.float32:
            tensor.copy_(torch.from_numpy(seeded_tensor(name, tuple(tensor.shape))))


def channels_last(tensor: torch.Tensor) -> np.ndarray:
    return tensor.permute(0, 2, 3, 1).numpy()


def main() -> None:
    torch.set_grad_enabled(False)
    # Sizes that are no multiple of 32 tell symmetric padding from any other.
    image = np.random.default_rng(0).normal(0, 1, [1, 75, 50, 3]).astype(np.float32)
    golden = {"image": image}
    for depth in (18, 34, 50, 101):
        model = getattr(torchvision.models, f"resnet{depth}")(weights=None).eval()
        seed(model)
        extractor = create_feature_extractor(model, LEVELS)
        features = extractor(torch.from_numpy(image).permute(0, 3, 1, 2))
        for level, values in features.items():
            golden[f"resnet{depth}.{level}"] = samples(channels_last(values))
        if depth == 18:
            fpn = FeaturePyramidNetwork([64, 128, 256, 512], 16, LastLevelMaxPool()).eval()
            seed(fpn)
            for index, values in enumerate(fpn(features).values()):
                golden[f"fpn.p{index + 2}"] = samples(channels_last(values))
    np.savez_compressed(ROOT / "tests/golden/resnet.npz", **golden)


if __name__ == "__main__":
    main()
