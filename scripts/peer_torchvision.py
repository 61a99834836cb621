"""torchvision's published detectors with made-up weights, stage by stage and in training.

Imported by what runs in `.venv-peers`: the worker of `scripts/test_peers` and the maker of golden
files of a training step. It knows nothing of TensorFlow.
"""

import sys
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from torchvision.models import detection, get_model_weights

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.weights.seeded_detector import seeded_detector_tensor  # noqa: E402


def published_model(name: str, seed: int = 0) -> torch.nn.Module:
    """The model as `weights="COCO_V1"` makes it, with weights made up from their names.

    That is how it is run and fine-tuned: three trainable layers of the backbone, frozen batch
    normalisation with an epsilon of 0 in the first version, batch normalisation in the second.
    Nothing is downloaded.
    """
    build = getattr(detection, name)
    weights = get_model_weights(name).COCO_V1
    num_classes = len(weights.meta["categories"])
    empty = build(weights=None, weights_backbone=None, num_classes=num_classes)
    tensors = empty.state_dict()
    for tensor_name, tensor in tensors.items():
        if tensor.dtype == torch.float32:
            values = seeded_detector_tensor(tensor_name, tuple(tensor.shape), seed)
            tensor.copy_(torch.from_numpy(values))
    with mock.patch.object(type(weights), "get_state_dict", lambda *_, **__: tensors):
        return build(weights=weights).eval()


def resize_to(model: torch.nn.Module, size: tuple[int, int]) -> None:
    """Sets the short side, and the longest that a long side may be."""
    model.transform.min_size, model.transform.max_size = (size[0],), size[1]


def as_input(image: np.ndarray) -> torch.Tensor:
    """uint8 `[H, W, 3]` as torchvision takes it."""
    return torch.from_numpy(image).permute(2, 0, 1) / 255


def channels_last(tensor: torch.Tensor) -> np.ndarray:
    return np.ascontiguousarray(tensor.detach().permute(0, 2, 3, 1).numpy())


def unnormalized(model: torch.nn.Module, images: torch.Tensor) -> np.ndarray:
    """A normalised batch in 0..255 again, channels-last."""
    mean, std = (
        np.float64(values) for values in (model.transform.image_mean, model.transform.image_std)
    )
    return ((channels_last(images) * std + mean) * 255).astype(np.float32)


class RecordingSampler:
    """Stands in for `BalancedPositiveNegativeSampler`: chooses evenly spaced candidates.

    Attributes:
        labels: of the last call, one tensor an image.
        chosen: of the last call, `(positives, negatives)` of every image, row numbers each.
    """

    def __init__(self, sampler):
        self.count, self.positive_fraction = sampler.batch_size_per_image, sampler.positive_fraction

    def __call__(self, labels):
        self.labels, self.chosen, masks = labels, [], ([], [])
        for each in labels:
            positive, negative = (torch.where(rows)[0] for rows in (each >= 1, each == 0))
            positive = _spread(positive, int(self.count * self.positive_fraction))
            negative = _spread(negative, self.count - len(positive))
            self.chosen.append((positive.numpy(), negative.numpy()))
            for kind, rows in zip(masks, (positive, negative), strict=True):
                kind.append(torch.zeros_like(each, dtype=torch.uint8).index_fill(0, rows, 1))
        return masks


def _spread(rows: torch.Tensor, count: int) -> torch.Tensor:
    if len(rows) <= count:
        return rows
    return rows[torch.linspace(0, len(rows) - 1, count, dtype=torch.float64).long()]


class TrainingRecorder:
    """Computes the losses of a model, and writes down what they were computed from.

    Args:
        model: its samplers are replaced. A batch normalisation that is not trained, of the stem and
            the first stage of a `_v2`, is put into inference: torchvision leaves it normalising
            with the batch, which `frozen_stages` of this package on purpose does not.
    """

    def __init__(self, model: torch.nn.Module):
        self.model = model.train()
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d) and not module.weight.requires_grad:
                module.eval()
        self.anchors = RecordingSampler(model.rpn.fg_bg_sampler)
        self.rois = RecordingSampler(model.roi_heads.fg_bg_sampler)
        model.rpn.fg_bg_sampler, model.roi_heads.fg_bg_sampler = self.anchors, self.rois
        model.rpn.register_forward_hook(self._keep_proposals)

    def _keep_proposals(self, module, inputs, outputs) -> None:
        # The heads replace the entries of this list by the boxes that they choose.
        self.proposals = [boxes.detach().numpy() for boxes in outputs[0]]

    def losses(self, images, targets) -> dict[str, torch.Tensor]:
        return self.model(images, [dict(target) for target in targets])

    def samples(self) -> dict[str, np.ndarray]:
        """What the last losses were computed from.

        Of every image i: `proposals.i [N, 4]`, `anchors.positive.i`, `anchors.negative.i`, row
        numbers of all levels' anchors, and `rois.positive.i`, `rois.negative.i`, row numbers of
        the proposals followed by the objects.
        """
        found = {}
        for i, proposals in enumerate(self.proposals):
            found[f"proposals.{i}"] = proposals
            for name, sampler in (("anchors", self.anchors), ("rois", self.rois)):
                positive, negative = sampler.chosen[i]
                found[f"{name}.positive.{i}"] = positive.astype(np.int32)
                found[f"{name}.negative.{i}"] = negative.astype(np.int32)
        return found

    def anchor_labels(self) -> list[np.ndarray]:
        return [labels.numpy().astype(np.int8) for labels in self.anchors.labels]
