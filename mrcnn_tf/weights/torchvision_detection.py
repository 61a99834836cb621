"""torchvision's Mask and Faster R-CNN with ResNet and FPN: names, arguments, conversion."""

import os
import re
from typing import Any

import numpy as np

from mrcnn_tf.layers.resnet import ResNet
from mrcnn_tf.models.mask_rcnn import MaskRCNN
from mrcnn_tf.weights.assign import assign_weights, make_channels_last
from mrcnn_tf.weights.coco_categories import TORCHVISION_COCO_CATEGORIES
from mrcnn_tf.weights.resnet import resnet_weights
from mrcnn_tf.weights.torch_files import read_state_dict

# What `maskrcnn_resnet50_fpn` does otherwise than `MaskRCNN` by default.
TORCHVISION_ARGUMENTS = {
    # `COCO_V1` was trained with an epsilon of 0, and torchvision runs it so (`overwrite_eps`).
    "norm_epsilon": 0.0,
    "rounded_anchors": True,
    "roi_aligned": False,
    "mask_target_samples": 0,
    "min_detection_size": 0.01,
    # torchvision adds 1e-6 to the logarithm that a box's level is the floor of.
    "roi_canonical_size": 224 * 2.0**-1e-6,
}

BODY, FPN, RPN, ROI = "backbone.body", "backbone.fpn", "rpn.head", "roi_heads"
SCORES, FIRST_DENSE = f"{ROI}.box_predictor.cls_score", f"{ROI}.box_head.fc6.weight"

# The published files are older than these layers' present names.
OLD_NAMES = (
    (re.compile(r"(backbone\.fpn\.(?:inner|layer)_blocks\.\d)\.(weight|bias)"), r"\1.0.\2"),
    (re.compile(r"(rpn\.head\.conv)\.(weight|bias)"), r"\1.0.0.\2"),
)
OLD_MASK_NAME = re.compile(r"(roi_heads\.mask_head)\.mask_fcn(\d)\.(weight|bias)")


def model_from_torchvision(path: str | os.PathLike, **arguments: Any) -> MaskRCNN:
    """Builds the model that a checkpoint of torchvision's detectors belongs to, with its weights.

    It reads `maskrcnn_resnet50_fpn` and `fasterrcnn_resnet50_fpn`, and the same with ResNet-18, 34
    or 101, trained on any number of classes; not their `_v2`. Whether there are masks, the ResNet,
    the widths of layers and the number of classes follow from the file, the rest is
    `TORCHVISION_ARGUMENTS`.

    A file with 91 outputs is taken to be of COCO. Then all 90 classes are kept, with
    `category_ids` 1 to 90 and torchvision's names, so that every score is the published model's;
    10 of them, named "N/A", are ids that COCO never used.

    Args:
        path: see `load_torchvision_weights`.
        **arguments: of `MaskRCNN`, e.g. `class_names`. Of a model that was trained from
            `weights_backbone` alone, without `COCO_V1` weights, `norm_epsilon=1e-5`; the file tells
            only if there were no weights at all, since its normalisation then counts batches.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: see `load_torchvision_weights`.

    Example:
        >>> model = model_from_torchvision("maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth")
        >>> model.class_names[0], model.category_ids[0]
        ('person', 1)
    """
    tensors = _with_new_names(read_state_dict(path))
    model = MaskRCNN(**{**_arguments(tensors, os.fspath(path)), **arguments})
    _assign(model, tensors, os.fspath(path))
    return model


def load_torchvision_weights(model: MaskRCNN, path: str | os.PathLike) -> None:
    """Loads a checkpoint of torchvision's Mask or Faster R-CNN with FPN into a model.

    Args:
        model: Built with `TORCHVISION_ARGUMENTS` and sizes that fit.
        path: A `.pth` file: a state dict, or one under `model` or `state_dict`.

    Raises:
        FileNotFoundError: There is no such file.
        TypeError: The model's backbone is no ResNet.
        ValueError: The file cannot be read, is of another network, or its tensors do not fit;
            every tensor that is missing, unexpected or of another shape is named, and nothing was
            loaded.
    """
    if not isinstance(model.backbone, ResNet):
        raise TypeError(
            f"torchvision's weights need a ResNet, not a {type(model.backbone).__name__}"
        )
    _assign(model, _with_new_names(read_state_dict(path)), os.fspath(path))


def torchvision_weights(model: MaskRCNN) -> dict[str, tuple]:
    """Variables of the model by torchvision's names, see `assign_weights`."""
    weights = {f"{BODY}.{name}": place for name, place in resnet_weights(model.backbone).items()}

    def add(layer, name: str, axes: tuple[int, ...] = (2, 3, 1, 0), skipped: int = 0) -> None:
        weights[f"{name}.weight"] = (layer.kernel, axes, skipped)
        weights[f"{name}.bias"] = (layer.bias, (0,), skipped)

    for index, (lateral, output) in enumerate(
        zip(model.fpn.laterals, model.fpn.outputs, strict=True)
    ):
        add(lateral, f"{FPN}.inner_blocks.{index}.0")
        add(output, f"{FPN}.layer_blocks.{index}.0")
    for index, conv in enumerate(model.rpn.convs):
        add(conv, f"{RPN}.conv.{index}.0")
    add(model.rpn.logits, f"{RPN}.cls_logits")
    add(model.rpn.deltas, f"{RPN}.bbox_pred")
    for index, dense in enumerate(model.box_head.hidden, start=6):
        add(dense, f"{ROI}.box_head.fc{index}", (1, 0))
    # The background comes first there and last here; it has a box and a mask only there.
    add(model.box_head.logits, SCORES, (1, 0))
    add(model.box_head.deltas, f"{ROI}.box_predictor.bbox_pred", (1, 0), skipped=4)
    if model.mask:
        for index, conv in enumerate(model.mask_head.convs):
            add(conv, f"{ROI}.mask_head.{index}.0")
        add(model.mask_head.upsample, f"{ROI}.mask_predictor.conv5_mask")
        add(model.mask_head.logits, f"{ROI}.mask_predictor.mask_fcn_logits", skipped=1)
    return weights


def _with_new_names(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    renamed = {}
    for name, tensor in tensors.items():
        for pattern, replacement in OLD_NAMES:
            name = pattern.sub(replacement, name) if pattern.fullmatch(name) else name
        match = OLD_MASK_NAME.fullmatch(name)
        if match:
            name = f"{match[1]}.{int(match[2]) - 1}.0.{match[3]}"
        renamed[name] = tensor
    return renamed


def _arguments(tensors: dict[str, np.ndarray], source: str) -> dict[str, Any]:
    scores = tensors.get(f"{SCORES}.weight")
    if scores is None or scores.ndim != 2 or f"{FPN}.inner_blocks.0.0.weight" not in tensors:
        raise ValueError(
            f"{source} is no Mask or Faster R-CNN with FPN of torchvision: it lacks "
            f"{SCORES}.weight or {FPN}.inner_blocks.0.0.weight. Give the .pth file of "
            "maskrcnn_resnet50_fpn or fasterrcnn_resnet50_fpn"
        )
    if "roi_heads.box_head.5.weight" in tensors or f"{RPN}.conv.1.0.weight" in tensors:
        raise ValueError(
            f"{source} is of a _v2 detector of torchvision, whose heads are normalised; only "
            "maskrcnn_resnet50_fpn and fasterrcnn_resnet50_fpn can be read"
        )

    def width(name: str, default: int) -> int:
        # What is missing is reported later, with everything else that is.
        return next(iter(tensors[name].shape), default) if name in tensors else default

    arguments = {
        **TORCHVISION_ARGUMENTS,
        "backbone": _backbone(tensors),
        "num_classes": len(scores) - 1,
        "mask": any(name.startswith(f"{ROI}.mask_") for name in tensors),
        "backbone_channels": width(f"{BODY}.conv1.weight", 64),
        "fpn_channels": width(f"{FPN}.inner_blocks.0.0.weight", 256),
        "box_fc": tuple(width(f"{ROI}.box_head.fc{index}.weight", 1024) for index in (6, 7)),
        "mask_channels": width(f"{ROI}.mask_head.0.0.weight", 256),
    }
    if any(_ignored(name) for name in tensors):
        # `BatchNorm2d` counts batches; torchvision sets the epsilon of frozen layers alone to 0.
        arguments["norm_epsilon"] = 1e-5
    if len(scores) == 1 + len(TORCHVISION_COCO_CATEGORIES):
        arguments["class_names"] = list(TORCHVISION_COCO_CATEGORIES)
    return arguments


def _backbone(tensors: dict[str, np.ndarray]) -> str:
    if not any(name.startswith(f"{BODY}.layer1.0.conv3") for name in tensors):
        has_third = f"{BODY}.layer1.2.conv1.weight" in tensors
        return "resnet34" if has_third else "resnet18"
    return "resnet101" if f"{BODY}.layer3.6.conv1.weight" in tensors else "resnet50"


def _assign(model: MaskRCNN, tensors: dict[str, np.ndarray], source: str) -> None:
    converted = dict(tensors)
    for name in (f"{SCORES}.weight", f"{SCORES}.bias"):
        if name in tensors and tensors[name].ndim:
            converted[name] = np.roll(tensors[name], -1, axis=0)
    make_channels_last(converted, FIRST_DENSE, model.box_head)
    assign_weights(torchvision_weights(model), converted, _ignored, source)


def _ignored(name: str) -> bool:
    return name.endswith(".num_batches_tracked")
