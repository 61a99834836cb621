"""Writes tests/golden/torchvision_keypoints.npz from torchvision's Keypoint R-CNN.

    .venv-peers/bin/python scripts/make_golden_torchvision_keypoints.py [FILE]

Takes ten seconds and downloads nothing: the weights are made up from their names, as those of
scripts/make_golden_torchvision.py.

For `keypointrcnn_resnet50_fpn` and an image of 64 x 96 px: `boxes` of its detections and
`heatmaps [185]`, every 185th value of their heatmaps, channels-last. For one of 248 x 312 px
`large.boxes`, `.scores`, `.keypoints` and `.keypoints_scores`, and `large.scores_bias`, by which
scores spread out.
`names` is the state dict. `decoded.*` is `heatmaps_to_keypoints` of `seeded_tensor("maps", ...)`
and of boxes of every size, `loss.*` one case of `keypointrcnn_loss`: `logits` (channels-last),
`boxes`, `keypoints` of each box, `loss` and its `gradient`.
`head.*` is a small head in float64: `heatmaps`, channels-last, float32, of
`seeded_tensor("pooled", ...)`, and the gradients of the sum of those times `weights`, of `pooled`,
channels-last, and by the names of the state dict.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from make_golden_torchvision import (
    LARGE_SIZE,
    SIZE,
    calibrated_bias,
    detect,
    every,
    own_size,
    seeded_model,
)
from peer_torchvision import ROOT, channels_last
from torchvision.models.detection.keypoint_rcnn import KeypointRCNNHeads, KeypointRCNNPredictor
from torchvision.models.detection.roi_heads import heatmaps_to_keypoints, keypointrcnn_loss

from tests.weights.seeded_tensors import seeded_tensor

FILE = ROOT / "tests" / "golden" / "torchvision_keypoints.npz"


def small(model: torch.nn.Module) -> dict[str, np.ndarray]:
    boxes = detect(model, SIZE)["boxes"]
    images = own_size(model, SIZE)
    features, heads = model.backbone(images.tensors), model.roi_heads
    pooled = heads.keypoint_roi_pool(features, [boxes], images.image_sizes)
    maps = heads.keypoint_predictor(heads.keypoint_head(pooled))
    return {"boxes": boxes.numpy(), "heatmaps": every(37 * 5, channels_last(maps))}


def large(model: torch.nn.Module) -> dict[str, np.ndarray]:
    found = detect(model, LARGE_SIZE)
    names = ("boxes", "scores", "keypoints", "keypoints_scores")
    return {f"large.{name}": found[name].numpy() for name in names}


def decoded() -> dict[str, np.ndarray]:
    """Boxes larger and smaller than the heatmap, of whole and broken sides, thin and empty ones."""
    boxes = [[10, 20, 310.5, 520.25], [3.3, 4.4, 60.1, 60.4], [0, 0, 56, 56], [7, 8, 20.7, 100]]
    boxes = np.float32([*boxes, [5, 5, 5.5, 200], [30, 30, 30, 30]])
    maps = seeded_tensor("maps", (len(boxes), 3, 56, 56))
    places, scores = heatmaps_to_keypoints(torch.from_numpy(maps), torch.from_numpy(boxes))
    return {
        "decoded.boxes": boxes,
        "decoded.keypoints": places.numpy(),
        "decoded.scores": scores.numpy(),
    }


def loss() -> dict[str, np.ndarray]:
    """Joints in and out of three boxes, on their edges, not annotated; two boxes, one object."""
    rng = np.random.default_rng(3)
    boxes = np.float32([[10, 20, 110, 180], [0, 0, 30, 30], [12.5, 16.25, 90, 140.75]])
    sides, rows = boxes[:, None, 2:] - boxes[:, None, :2], np.array([0, 1, 0])
    places = boxes[:2, None, :2] + rng.uniform(-0.2, 1.2, [2, 5, 2]) * sides[:2]
    visible = rng.integers(0, 3, [2, 5, 1])
    keypoints = np.concatenate([places, visible], axis=-1).astype(np.float32)
    keypoints[0, 0], keypoints[0, 1] = (*boxes[0, 2:], 2), (*boxes[0, :2], 1)
    logits = rng.normal(0, 2, [3, 8, 8, 5]).astype(np.float32)
    tensor = torch.from_numpy(logits).permute(0, 3, 1, 2).contiguous().requires_grad_()
    with torch.enable_grad():
        value = keypointrcnn_loss(
            tensor,
            [torch.from_numpy(boxes)],
            [torch.from_numpy(keypoints)],
            [torch.from_numpy(rows)],
        )
        value.backward()
    return {
        "loss.logits": logits,
        "loss.boxes": boxes,
        "loss.keypoints": keypoints[rows],
        "loss.loss": value.detach().numpy(),
        "loss.gradient": channels_last(tensor.grad),
    }


def head() -> dict[str, np.ndarray]:
    """Small whole numbers as `weights`: so upsampling, and its gradient, are exact in float32."""
    pooled = torch.from_numpy(seeded_tensor("pooled", (2, 3, 4, 4)).astype(np.float64))
    layers = torch.nn.Sequential(KeypointRCNNHeads(3, (5, 5, 5)), KeypointRCNNPredictor(5, 3))
    for name, parameter in layers.double().named_parameters():
        parameter.copy_(torch.from_numpy(seeded_tensor(name, tuple(parameter.shape))))
    weights = np.random.default_rng(4).integers(-8, 9, [2, 16, 16, 3])
    with torch.enable_grad():
        heatmaps = layers(pooled.requires_grad_())
        (heatmaps * torch.from_numpy(weights).permute(0, 3, 1, 2)).sum().backward()
    found = {name: parameter.grad.numpy() for name, parameter in layers.named_parameters()}
    found["pooled"] = channels_last(pooled.grad)
    found |= {"weights": weights.astype(np.int8), "heatmaps": channels_last(heatmaps.float())}
    return {f"head.{name}": value for name, value in found.items()}


def main(path: Path) -> None:
    torch.set_grad_enabled(False)
    golden = loss() | decoded() | head()
    model = seeded_model("keypointrcnn_resnet50_fpn")
    for size, results in ((SIZE, small), (LARGE_SIZE, large)):
        bias = calibrated_bias(model, size)
        model.roi_heads.box_predictor.cls_score.bias.copy_(bias)
        golden |= results(model)
    golden["large.scores_bias"] = bias.numpy()
    golden["names"] = np.array(list(model.state_dict()))
    np.savez_compressed(path, **golden)
    scores, joints = golden["large.scores"], golden["large.keypoints_scores"]
    print(
        f"{len(golden['boxes'])} and {len(scores)} detections, scores {scores.min():.3f} to "
        f"{scores.max():.3f}, logits of joints {joints.min():.2f} to {joints.max():.2f}"
    )
    print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FILE)
