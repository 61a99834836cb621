"""Make the saved model that every later release has to load, and what it finds.

    python scripts/make_golden_tiny_model.py [FOLDER]

Writes `tiny_maskrcnn.keras` (about 0.5 MB, random weights) and `tiny_maskrcnn.npz` (two images with
padding, and the detections) to FOLDER, by default `tests/models/golden`. Run it only when a change
of the format is meant to leave older files behind, together with a new `config_version`. Takes ten
seconds on a CPU.
"""

import os
import sys
from pathlib import Path

import keras
import numpy as np

from mrcnn_tf import MaskRCNN

FOLDER = Path(__file__).parents[1] / "tests" / "models" / "golden"


def make_model() -> MaskRCNN:
    """A small model, its predictors scaled up so that untrained scores differ."""
    keras.utils.set_random_seed(6)
    model = MaskRCNN(
        backbone="resnet18",
        num_classes=3,
        class_names=["disc", "square", "star"],
        category_ids=[2, 3, 5],
        image_size=(96, 128),
        backbone_channels=4,
        fpn_channels=16,
        anchor_sizes=(8, 16, 32, 64, 128),
        rpn_post_nms_top_n=(64, 32),
        roi_canonical_size=56,
        box_fc=(32,),
        mask_channels=16,
        mask_convs=1,
        max_detections=20,
        score_threshold=0.5,
    )
    rng = np.random.default_rng(6)
    for weight in model.backbone.weights:  # an untrained frozen normalisation does nothing
        if weight.name in ("gamma", "moving_variance"):
            weight.assign(rng.uniform(0.7, 1.3, weight.shape))
        elif weight.name in ("beta", "moving_mean"):
            weight.assign(rng.normal(0, 0.2, weight.shape))
    heads = (model.rpn, model.box_head)
    predictors = [layer for head in heads for layer in (head.logits, head.deltas)]
    for layer, factor in zip(
        [*predictors, model.mask_head.logits], (60, 8, 12, 60, 400), strict=True
    ):
        layer.kernel.assign(layer.kernel * factor)
        layer.bias.assign(rng.normal(0, 0.1, layer.bias.shape))
    return model


def make_images() -> dict[str, np.ndarray]:
    """Two noisy images of bright rectangles; the second is smaller than the array."""
    rng = np.random.default_rng(2)
    images = rng.integers(0, 60, (2, 96, 128, 3), dtype=np.uint8)
    sizes = np.array([[96, 128], [80, 70]], np.int32)
    for image, (height, width) in zip(images, sizes, strict=True):
        for channel in range(3):
            x, y = rng.integers(0, width - 30), rng.integers(0, height - 30)
            image[y : y + 30, x : x + 20 + 5 * channel, channel] = 230
    images[1, 80:], images[1, :, 70:] = 0, 0
    return {"images": images, "image_sizes": sizes}


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    model, inputs = make_model(), make_images()
    found = {name: np.asarray(value) for name, value in model(inputs).items()}

    partial = folder / "partial.keras"
    model.save(partial)
    os.replace(partial, folder / "tiny_maskrcnn.keras")
    partial = folder / "partial.npz"
    np.savez_compressed(partial, **inputs, **found)
    os.replace(partial, folder / "tiny_maskrcnn.npz")
    for name in ("tiny_maskrcnn.keras", "tiny_maskrcnn.npz"):
        print(f"{folder / name}: {(folder / name).stat().st_size / 1e6:.2f} MB")
    print(f"detections: {found['num_detections'].tolist()}")
    print(f"scores: {np.sort(found['scores'][found['scores'] > 0]).round(3).tolist()}")


if __name__ == "__main__":
    main()
