"""Weights of a whole detector of torchvision, made up from their names, that detects something."""

import numpy as np

from tests.weights.seeded_tensors import seeded_tensor

# Boxes stay near their anchors, scores are spread out, and masks have both values.
FACTORS = {
    "rpn.head.bbox_pred.weight": 0.3,
    "roi_heads.box_head.5.weight": 8.0,
    "roi_heads.box_predictor.bbox_pred.weight": 0.3,
    "roi_heads.box_predictor.cls_score.weight": 5.0,
    "roi_heads.mask_predictor.mask_fcn_logits.weight": 4.0,
}


def seeded_detector_tensor(name: str, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """The float32 tensor of a name in torchvision's state dict."""
    return seeded_tensor(name, shape, seed) * np.float32(FACTORS.get(name, 1.0))


def seeded_image(height: int, width: int) -> np.ndarray:
    """Coloured squares of 8 px under noise, uint8 `[H, W, 3]`."""
    rng = np.random.default_rng(0)
    squares = rng.integers(0, 256, [height // 8, width // 8, 3]).repeat(8, 0).repeat(8, 1)
    noisy = squares + rng.integers(-20, 21, squares.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)
