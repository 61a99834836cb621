"""Writes tests/golden/torchvision_detection*.npz from torchvision's Mask R-CNN, stage by stage.

    .venv-peers/bin/python scripts/make_golden_torchvision.py [FOLDER]

Takes half a minute and downloads nothing: the weights are made up from their names
(tests/weights/seeded_detector.py). Only the biases of the class scores are in the file, since they
are chosen so that scores spread out: every class's mean score over the proposals is 0, and the
background's is BACKGROUND and every tenth class's LIKELY.

Arrays are in the order of torchvision's results, but channels-last. `[n]` marks every n-th value
of what follows. For `maskrcnn_resnet50_fpn` and an image of 64 x 96 px, which is not resized:
`p2` to `p6` `[37]`; `rpn_logits`, `rpn_deltas` by level; `proposals`; of the first ROWS of them
`box_features [111]`, `class_logits`, `box_deltas` and the detections `rows_boxes`, `rows_scores`,
`rows_labels`, and of the box head in training `training_logits [7]`; of the whole model `boxes`,
`scores`, `labels`, `mask_logits [1036]` and `masks [28]` (28 x 28). `large.*` are the results for
an image of 248 x 312 px with biases of its own, `boxes_only.*` those of `fasterrcnn_resnet50_fpn`,
whose weights have the same names. `names` is Mask R-CNN's state dict. torchvision_detection_v2.npz
is the same of the `_v2` models.
"""

import copy
import sys
from pathlib import Path

import numpy as np
import torch
from peer_torchvision import ROOT, as_input, channels_last, resize_to
from torchvision.models import detection

from tests.weights.seeded_detector import seeded_detector_tensor, seeded_image

FOLDER = ROOT / "tests" / "golden"
SIZE, LARGE_SIZE = (64, 96), (248, 312)
BACKGROUND, LIKELY = 11.0, 6.0
ROWS = 24


def seeded_model(name: str, scores_bias: torch.Tensor | None = None) -> torch.nn.Module:
    build = getattr(detection, name)
    model = build(weights=None, weights_backbone=None).eval()
    for tensor_name, tensor in model.state_dict().items():
        if tensor.dtype == torch.float32:
            values = seeded_detector_tensor(tensor_name, tuple(tensor.shape))
            tensor.copy_(torch.from_numpy(values))
    if scores_bias is not None:
        model.roi_heads.box_predictor.cls_score.bias.copy_(scores_bias)
    return model


def detect(model: torch.nn.Module, size: tuple[int, int]) -> dict[str, torch.Tensor]:
    """Detections of the seeded image at its own size, masks on their grid of 28 x 28."""
    images = own_size(model, size)
    features = model.backbone(images.tensors)
    proposals, _ = model.rpn(images, features)
    detections, _ = model.roi_heads(features, proposals, images.image_sizes)
    return detections[0]


def own_size(model: torch.nn.Module, size: tuple[int, int]):
    """The seeded image as the model takes it, not resized."""
    resize_to(model, (min(size), max(size)))
    images, _ = model.transform([as_input(seeded_image(*size))])
    return images


def every(step: int, values: np.ndarray) -> np.ndarray:
    return values.reshape(-1)[::step]


def stages(model: torch.nn.Module) -> dict[str, np.ndarray]:
    images = own_size(model, SIZE)
    features = model.backbone(images.tensors)
    golden = {f"p{i}": every(37, channels_last(f)) for i, f in enumerate(features.values(), 2)}
    levels = list(features.values())
    for i, (logits, deltas) in enumerate(zip(*model.rpn.head(levels), strict=True), start=2):
        golden[f"rpn_logits.p{i}"] = channels_last(logits).reshape(-1)
        golden[f"rpn_deltas.p{i}"] = channels_last(deltas).reshape(-1, 4)
    proposals, _ = model.rpn(images, features)
    golden["proposals"] = proposals[0].numpy()

    heads, rows = model.roi_heads, [proposals[0][:ROWS]]
    pooled = heads.box_roi_pool(features, rows, images.image_sizes)
    golden["box_features"] = every(111, channels_last(pooled))
    logits, deltas = heads.box_predictor(heads.box_head(pooled))
    golden |= {"class_logits": logits.numpy(), "box_deltas": deltas.numpy()}
    training_logits, _ = heads.box_predictor(copy.deepcopy(heads.box_head).train()(pooled))
    golden["training_logits"] = every(7, training_logits.numpy())
    found = heads.postprocess_detections(logits, deltas, rows, images.image_sizes)
    names = ("rows_boxes", "rows_scores", "rows_labels")
    golden |= {name: values[0].numpy() for name, values in zip(names, found, strict=True)}

    detections = detect(model, SIZE)
    pooled = heads.mask_roi_pool(features, [detections["boxes"]], images.image_sizes)
    mask_logits = heads.mask_predictor(heads.mask_head(pooled))
    golden["mask_logits"] = every(37 * 28, channels_last(mask_logits))
    return golden | results(detections)


def results(detections: dict[str, torch.Tensor], prefix: str = "") -> dict[str, np.ndarray]:
    values = {name: tensor.numpy() for name, tensor in detections.items()}
    values["labels"] = values["labels"].astype(np.int32)
    if "masks" in values:
        values["masks"] = every(28, values["masks"])
    return {prefix + name: value for name, value in values.items()}


def calibrated_bias(model: torch.nn.Module, size: tuple[int, int]) -> torch.Tensor:
    heads = model.roi_heads
    heads.box_predictor.cls_score.bias.zero_()
    images = own_size(model, size)
    features = model.backbone(images.tensors)
    proposals, _ = model.rpn(images, features)
    pooled = heads.box_roi_pool(features, proposals, images.image_sizes)
    logits, _ = heads.box_predictor(heads.box_head(pooled))
    bias = -logits.mean(dim=0)
    bias[0] += BACKGROUND
    bias[1::10] += LIKELY
    return bias


def write(version: str, path: Path) -> None:
    mask_rcnn, faster_rcnn = (f"{name}rcnn_resnet50_fpn{version}" for name in ("mask", "faster"))
    bias = calibrated_bias(seeded_model(mask_rcnn), SIZE)
    model = seeded_model(mask_rcnn, bias)
    golden = {"scores_bias": bias.numpy(), **stages(model)}
    golden |= results(detect(seeded_model(faster_rcnn, bias), SIZE), "boxes_only.")
    large_bias = calibrated_bias(model, LARGE_SIZE)
    model.roi_heads.box_predictor.cls_score.bias.copy_(large_bias)
    golden |= results(detect(model, LARGE_SIZE), "large.")
    golden["large.scores_bias"] = large_bias.numpy()
    golden["names"] = np.array(list(model.state_dict()))
    np.savez_compressed(path, **golden)
    for prefix in ("", "large."):
        scores, labels = golden[f"{prefix}scores"], golden[f"{prefix}labels"]
        print(
            f"{prefix}{len(scores)} detections, {len(set(labels))} classes, scores "
            f"{scores.min():.3f} to {scores.max():.3f}"
        )
    print(f"{path}: {path.stat().st_size} bytes")


def main(folder: Path) -> None:
    torch.set_grad_enabled(False)
    for version in ("", "_v2"):
        write(version, folder / f"torchvision_detection{version}.npz")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
