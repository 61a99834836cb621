"""torchvision's Mask, Keypoint and Faster R-CNN with FPN: names, arguments, conversion."""

import os
import re
from typing import Any

import numpy as np

from mrcnn_tf.layers.resnet import ResNet
from mrcnn_tf.models.mask_rcnn import MaskRCNN
from mrcnn_tf.weights.assign import assign_weights, conv_norm_weights, make_channels_last
from mrcnn_tf.weights.coco_categories import TORCHVISION_COCO_CATEGORIES, coco_person
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
    "keypoint_decoding": "torchvision",
    # torchvision adds 1e-6 to the logarithm that a box's level is the floor of.
    "roi_canonical_size": 224 * 2.0**-1e-6,
    "image_resize": "torchvision",
    "whole_pixel_masks": True,
}

# What `maskrcnn_resnet50_fpn_v2` does otherwise, whose epsilon nothing overwrites.
TORCHVISION_V2_ARGUMENTS = {
    **TORCHVISION_ARGUMENTS,
    "norm": "batch_norm",
    "norm_epsilon": 1e-5,
    "fpn_norm": "batch_norm",
    "rpn_convs": 2,
    "head_norm": "batch_norm",
    "box_conv": (256, 256, 256, 256),
    "box_fc": (1024,),
}

BODY, FPN, RPN, ROI = "backbone.body", "backbone.fpn", "rpn.head", "roi_heads"
BOX_HEAD, MASK_HEAD = f"{ROI}.box_head", f"{ROI}.mask_head"
SCORES = f"{ROI}.box_predictor.cls_score"

# The published files are older than these layers' present names.
OLD_NAMES = (
    (re.compile(r"(backbone\.fpn\.(?:inner|layer)_blocks\.\d)\.(weight|bias)"), r"\1.0.\2"),
    (re.compile(r"(rpn\.head\.conv)\.(weight|bias)"), r"\1.0.0.\2"),
)
OLD_MASK_NAME = re.compile(r"(roi_heads\.mask_head)\.mask_fcn(\d)\.(weight|bias)")


def model_from_torchvision(path: str | os.PathLike, **arguments: Any) -> MaskRCNN:
    """Builds the model that a checkpoint of torchvision's detectors belongs to, with its weights.

    It reads `maskrcnn_resnet50_fpn`, `keypointrcnn_resnet50_fpn` and `fasterrcnn_resnet50_fpn`, the
    `_v2` of the first and last, and the same with ResNet-18, 34 or 101, trained on any number of
    classes and joints. Whether there are masks or joints, the ResNet, number and widths of layers,
    what is normalised and the number of classes follow from the file, the rest is
    `TORCHVISION_ARGUMENTS`.

    A file with 91 outputs is taken to be of COCO. Then all 90 classes are kept, with
    `category_ids` 1 to 90 and torchvision's names, so that every score is the published model's;
    10 of them, named "N/A", are ids that COCO never used. So is a file with one class that has 17
    joints.

    Args:
        path: see `load_torchvision_weights`.
        **arguments: of `MaskRCNN`, e.g. `class_names`. Of a model that is no `_v2` and was trained
            from `weights_backbone` alone, without `COCO_V1` weights, or of Keypoint R-CNN's
            `COCO_LEGACY`, `norm_epsilon=1e-5`; the file tells only if there were no weights at
            all, since its normalisation then counts batches.

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
    """Loads a checkpoint of torchvision's Mask, Keypoint or Faster R-CNN with FPN into a model.

    Args:
        model: Built with `TORCHVISION_ARGUMENTS`, or `TORCHVISION_V2_ARGUMENTS` for a `_v2`, and
            sizes that fit.
        path: A `.pth` file: a state dict, or one under `model` or `state_dict`.

    Raises:
        FileNotFoundError: There is no such file.
        TypeError: The model's backbone is no ResNet.
        ValueError: The file cannot be read, is of another network, or its tensors do not fit;
            every tensor that is missing, unexpected or of another shape is named, and nothing was
            loaded.
    """
    if type(model.backbone) is not ResNet:  # MatterportResNet takes other pixels
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

    def add_convs(layers, name: str) -> None:
        for index, layer in enumerate(layers):
            weights.update(conv_norm_weights(layer, f"{name}.{index}.0", f"{name}.{index}.1"))

    add_convs(model.fpn.laterals, f"{FPN}.inner_blocks")
    add_convs(model.fpn.outputs, f"{FPN}.layer_blocks")
    add_convs(model.rpn.convs, f"{RPN}.conv")
    add(model.rpn.logits, f"{RPN}.cls_logits")
    add(model.rpn.deltas, f"{RPN}.bbox_pred")
    add_convs(model.box_head.convs, BOX_HEAD)
    for index, dense in enumerate(model.box_head.hidden):
        add(dense, _dense_name(index, len(model.box_head.convs)), (1, 0))
    # The background comes first there and last here; it has a box and a mask only there.
    add(model.box_head.logits, SCORES, (1, 0))
    add(model.box_head.deltas, f"{ROI}.box_predictor.bbox_pred", (1, 0), skipped=4)
    if model.mask:
        add_convs(model.mask_head.convs, MASK_HEAD)
        add(model.mask_head.upsample, f"{ROI}.mask_predictor.conv5_mask")
        add(model.mask_head.logits, f"{ROI}.mask_predictor.mask_fcn_logits", skipped=1)
    if model.keypoints:
        for index, conv in enumerate(model.keypoint_head.convs):
            add(conv, f"{ROI}.keypoint_head.{2 * index}")  # ReLUs stand between them
        add(model.keypoint_head.logits, f"{ROI}.keypoint_predictor.kps_score_lowres")
    return weights


def _dense_name(index: int, num_convs: int) -> str:
    # With convolutions the box head is one sequence: these, the flattening, dense layers and ReLUs.
    return f"{BOX_HEAD}.{num_convs + 1 + 2 * index}" if num_convs else f"{BOX_HEAD}.fc{index + 6}"


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
            f"{source} is no Mask, Keypoint or Faster R-CNN with FPN of torchvision: it lacks "
            f"{SCORES}.weight or {FPN}.inner_blocks.0.0.weight. Give the .pth file of "
            "maskrcnn_resnet50_fpn, keypointrcnn_resnet50_fpn or fasterrcnn_resnet50_fpn, or of a "
            "_v2"
        )

    def width(name: str, default: int) -> int:
        # What is missing is reported later, with everything else that is.
        return next(iter(tensors[name].shape), default) if name in tensors else default

    def widths(prefix: str) -> tuple[int, ...]:
        matches = (re.match(rf"{prefix}\.(\d+)\.0\.", name) for name in tensors)
        number = max((1 + int(match[1]) for match in matches if match), default=0)
        return tuple(width(f"{prefix}.{index}.0.weight", 256) for index in range(number))

    norm = _norm(tensors, f"{BODY}.bn1") or "frozen_batch_norm"
    fpn_norm = _norm(tensors, f"{FPN}.inner_blocks.0.1")
    box_conv, mask_convs = widths(BOX_HEAD), widths(MASK_HEAD) or (256,) * 4
    dense = [_dense_name(index, len(box_conv)) for index in range(1 if box_conv else 2)]
    arguments = {
        **TORCHVISION_ARGUMENTS,
        "backbone": _backbone(tensors),
        "num_classes": len(scores) - 1,
        "mask": any(name.startswith(f"{ROI}.mask_") for name in tensors),
        "norm": norm,
        "backbone_channels": width(f"{BODY}.conv1.weight", 64),
        "fpn_channels": width(f"{FPN}.inner_blocks.0.0.weight", 256),
        "fpn_norm": fpn_norm,
        "rpn_convs": len(widths(f"{RPN}.conv")) or 1,
        "head_norm": _norm(tensors, f"{BOX_HEAD}.0.1") or _norm(tensors, f"{MASK_HEAD}.0.1"),
        "box_conv": box_conv,
        "box_fc": tuple(width(f"{name}.weight", 1024) for name in dense),
        "mask_channels": mask_convs[0],
        "mask_convs": len(mask_convs),
    }
    if norm != "frozen_batch_norm" or fpn_norm:
        # torchvision sets the epsilon of frozen layers alone to 0, and that of no v2 model.
        arguments["norm_epsilon"] = 1e-5
    keypoints = width(f"{ROI}.keypoint_predictor.kps_score_lowres.bias", 0)
    if keypoints:
        convs = [n for n in tensors if re.fullmatch(rf"{ROI}\.keypoint_head\.\d+\.weight", n)]
        arguments |= {
            **coco_person(len(scores) - 1, keypoints),
            "keypoints": keypoints,
            "keypoint_channels": width(f"{ROI}.keypoint_head.0.weight", 512),
            "keypoint_convs": len(convs),
        }
    if len(scores) == 1 + len(TORCHVISION_COCO_CATEGORIES):
        arguments["class_names"] = list(TORCHVISION_COCO_CATEGORIES)
    return arguments


def _norm(tensors: dict[str, np.ndarray], name: str) -> str | None:
    if f"{name}.weight" not in tensors:
        return None
    # `BatchNorm2d` counts batches, `FrozenBatchNorm2d` does not, `GroupNorm` has no statistics.
    if f"{name}.num_batches_tracked" in tensors:
        return "batch_norm"
    return "frozen_batch_norm" if f"{name}.running_mean" in tensors else "group_norm"


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
    first_dense = f"{_dense_name(0, len(model.box_head.convs))}.weight"
    make_channels_last(converted, first_dense, model.box_head)
    assign_weights(torchvision_weights(model), converted, _ignored, source)


def _ignored(name: str) -> bool:
    return name.endswith(".num_batches_tracked")
