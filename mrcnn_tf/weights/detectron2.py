"""Detectron2's Mask, Keypoint and Faster R-CNN with FPN: names, arguments, conversion."""

import os
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from mrcnn_tf.boxes import cell_anchors
from mrcnn_tf.layers.resnet import ResNet
from mrcnn_tf.models.mask_rcnn import MaskRCNN
from mrcnn_tf.weights.array_pickles import read_array_pickle
from mrcnn_tf.weights.assign import assign_weights, conv_norm_weights, make_channels_last
from mrcnn_tf.weights.coco_categories import COCO_CLASSES, coco_person
from mrcnn_tf.weights.torch_files import named_tensors, read_state_dict

# What `mask_rcnn_R_50_FPN` and its relatives do otherwise than `MaskRCNN` by default.
DETECTRON2_ARGUMENTS = {
    "image_resize": "detectron2",
    "stride_in_1x1": True,
    "rpn_post_nms_top_n": (1000, 1000),
    "rpn_beta": 0.0,
    "sampling_ratio": 0,
    "box_beta": 0.0,
    "binary_mask_targets": True,
    "mask_target_samples": 0,
    "keypoint_decoding": "detectron2",
}

# What `keypoint_rcnn_R_50_FPN` and its relatives do otherwise than `mask_rcnn_R_50_FPN`.
DETECTRON2_KEYPOINT_ARGUMENTS = {"rpn_post_nms_top_n": (1500, 1000), "box_beta": 0.5}

# Those of them that change detections although no shape shows them.
UNSEEN = ("stride_in_1x1", "sampling_ratio")

BACKBONE, RPN, ROI = "backbone.bottom_up", "proposal_generator.rpn_head", "roi_heads"
STEM = f"{BACKBONE}.stem.conv1.weight"
FIRST_DENSE = f"{ROI}.box_head.fc1.weight"
CELL_ANCHORS = re.compile(r"proposal_generator\.anchor_generator\.cell_anchors\.(\d+)")


def model_from_detectron2(path: str | os.PathLike, **arguments: Any) -> MaskRCNN:
    """Builds the model that a checkpoint of Detectron2 belongs to, weights included.

    Depth of the ResNet, number of classes, widths and whether there are masks or joints follow
    from the file, of which one with 80 classes, or with one class that has 17 joints, is taken to
    be of COCO; the rest is the model zoo's configuration of Mask R-CNN with ResNet and FPN
    (`DETECTRON2_ARGUMENTS`), or of Keypoint R-CNN, which a checkpoint does not hold.

    Args:
        path: see `load_detectron2_weights`.
        **arguments: of `MaskRCNN`, e.g. `class_names`, or where the checkpoint was trained with
            another configuration.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: see `load_detectron2_weights`.

    Example:
        >>> model = model_from_detectron2("model_final_f10217.pkl")
        >>> Predictor(model)("photo.jpg")[0]["boxes"]
    """
    path = os.fspath(path)
    tensors = read_detectron2_file(path)
    model = MaskRCNN(**{**detectron2_arguments(tensors, path), **arguments})
    _assign(model, tensors, path)
    return model


def load_detectron2_weights(model: MaskRCNN, path: str | os.PathLike) -> None:
    """Loads a checkpoint of Detectron2's Mask, Keypoint or Faster R-CNN with ResNet and FPN.

    Detectron2 takes BGR pixels less their mean; here they are RGB and divided by a standard
    deviation as well. The first convolution's kernel is changed to make up for it, which is
    exact, since padding is 0 on both sides.

    Warns where the model has another stride or another sampling than the model zoo, which no
    tensor shows.

    Args:
        model: Built with `DETECTRON2_ARGUMENTS` and sizes that fit; a ResNet-50 or 101.
        path: A `.pkl` of the model zoo, or a `.pth` of a training.

    Raises:
        FileNotFoundError: There is no such file.
        TypeError: The model has no ResNet for a backbone.
        ValueError: The file cannot be read, or its tensors do not fit; every tensor that is
            missing, unexpected or of another shape is named, and nothing was loaded.
    """
    path = os.fspath(path)
    if not isinstance(getattr(model, "backbone", None), ResNet):
        raise TypeError(f"Detectron2's weights need a model with a ResNet, not {model!r}")
    _assign(model, read_detectron2_file(path), path)
    other = [
        f"{name}={model.arguments[name]!r} instead of {DETECTRON2_ARGUMENTS[name]!r}"
        for name in UNSEEN
        if model.arguments[name] != DETECTRON2_ARGUMENTS[name]
    ]
    if other:
        warnings.warn(
            f"The tensors of {path} fit, but the model was built with {', '.join(other)}: unless "
            "the checkpoint was trained like that, build it with **DETECTRON2_ARGUMENTS, or "
            "detections will be worse",
            stacklevel=2,
        )


def read_detectron2_file(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Reads the named tensors of a `.pkl` of the model zoo, or of a `.pth` of a training.

    The two are told apart by the extension, as Detectron2 does.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: see `read_array_pickle` and `read_state_dict`.
    """
    if Path(path).suffix == ".pkl":
        return named_tensors(read_array_pickle(path), path)
    return read_state_dict(path)


def detectron2_weights(model: MaskRCNN) -> dict[str, tuple]:
    """Variables of the model by Detectron2's names, see `conv_norm_weights`."""
    weights = {}

    def add(layer, name: str, axes: tuple[int, ...] = (2, 3, 1, 0)) -> None:
        weights[f"{name}.weight"], weights[f"{name}.bias"] = (
            (layer.kernel, axes),
            (layer.bias, (0,)),
        )

    def add_conv_norm(layer, name: str) -> None:
        weights.update(conv_norm_weights(layer, name, f"{name}.norm"))

    add_conv_norm(model.backbone.stem, f"{BACKBONE}.stem.conv1")
    for block in model.backbone.blocks:
        stage, index = (int(part.lstrip("stageblock")) for part in block.name.split("_"))
        prefix = f"{BACKBONE}.res{stage}.{index - 1}"
        for number, conv in enumerate(block.convs, start=1):
            add_conv_norm(conv, f"{prefix}.conv{number}")
        if block.shortcut is not None:
            add_conv_norm(block.shortcut, f"{prefix}.shortcut")
    for level, lateral in enumerate(model.fpn.laterals, start=model.fpn.min_level):
        add_conv_norm(lateral, f"backbone.fpn_lateral{level}")
    for level, output in enumerate(model.fpn.outputs, start=model.fpn.min_level):
        add_conv_norm(output, f"backbone.fpn_output{level}")

    for index, conv in enumerate(model.rpn.convs):
        add(conv, f"{RPN}.conv" + (f".conv{index}" if len(model.rpn.convs) > 1 else ""))
    add(model.rpn.logits, f"{RPN}.objectness_logits")
    add(model.rpn.deltas, f"{RPN}.anchor_deltas")
    for index, conv in enumerate(model.box_head.convs, start=1):
        add_conv_norm(conv, f"{ROI}.box_head.conv{index}")
    for index, dense in enumerate(model.box_head.hidden, start=1):
        add(dense, f"{ROI}.box_head.fc{index}", (1, 0))
    add(model.box_head.logits, f"{ROI}.box_predictor.cls_score", (1, 0))
    add(model.box_head.deltas, f"{ROI}.box_predictor.bbox_pred", (1, 0))
    if model.mask:
        for index, conv in enumerate(model.mask_head.convs, start=1):
            add_conv_norm(conv, f"{ROI}.mask_head.mask_fcn{index}")
        add(model.mask_head.upsample, f"{ROI}.mask_head.deconv")
        add(model.mask_head.logits, f"{ROI}.mask_head.predictor")
    if model.keypoints:
        for index, conv in enumerate(model.keypoint_head.convs, start=1):
            add(conv, f"{ROI}.keypoint_head.conv_fcn{index}")
        add(model.keypoint_head.logits, f"{ROI}.keypoint_head.score_lowres")
    return weights


def detectron2_arguments(tensors: dict[str, np.ndarray], source: str) -> dict[str, Any]:
    """The arguments of `MaskRCNN` for a checkpoint: the zoo's, and what the tensors' shapes tell.

    Raises:
        ValueError: It is no Mask, Keypoint or Faster R-CNN with ResNet-50 or 101 and FPN.
    """
    stage4 = sum(f"{BACKBONE}.res4.{index}.conv3.weight" in tensors for index in range(99))
    backbones = {6: "resnet50", 23: "resnet101"}
    needed = (
        STEM,
        FIRST_DENSE,
        f"{ROI}.box_predictor.cls_score.weight",
        "backbone.fpn_output2.weight",
    )
    if stage4 not in backbones or any(name not in tensors for name in needed):
        raise ValueError(
            f"{source} is no Mask, Keypoint or Faster R-CNN of Detectron2 with ResNet-50 or 101 "
            f"and FPN: it has {stage4} bottleneck blocks in {BACKBONE}.res4 and lacks "
            f"{', '.join(name for name in needed if name not in tensors) or 'none of the heads'}"
        )

    def widths(pattern: str) -> tuple[int, ...]:
        names = (pattern.format(index) for index in range(1, 99))
        return tuple(len(tensors[name]) for name in names if name in tensors)

    num_classes = len(tensors[f"{ROI}.box_predictor.cls_score.weight"]) - 1
    mask_convs = widths(f"{ROI}.mask_head.mask_fcn{{}}.weight")
    keypoint_convs = widths(f"{ROI}.keypoint_head.conv_fcn{{}}.weight")
    keypoints = len(tensors.get(f"{ROI}.keypoint_head.score_lowres.bias", ()))
    keypoint_arguments = {
        **DETECTRON2_KEYPOINT_ARGUMENTS,
        **coco_person(num_classes, keypoints),
        "keypoints": keypoints,
        "keypoint_channels": (keypoint_convs or (512,))[0],
        "keypoint_convs": len(keypoint_convs),
    }
    return {
        **DETECTRON2_ARGUMENTS,
        "backbone": backbones[stage4],
        "backbone_channels": len(tensors[STEM]),
        "num_classes": num_classes,
        **(COCO_CLASSES if num_classes == COCO_CLASSES["num_classes"] else {}),
        "fpn_channels": len(tensors["backbone.fpn_output2.weight"]),
        "box_fc": widths(f"{ROI}.box_head.fc{{}}.weight"),
        "mask": bool(mask_convs),
        **({"mask_channels": mask_convs[0], "mask_convs": len(mask_convs)} if mask_convs else {}),
        **(keypoint_arguments if keypoints else {}),
    }


def _assign(model: MaskRCNN, tensors: dict[str, np.ndarray], source: str) -> None:
    _check_anchors(model, tensors, source)
    weights = detectron2_weights(model)
    assign_weights(weights, _converted(model, tensors, source), _ignored, source)


def _ignored(name: str) -> bool:
    """What is in some checkpoints and is read elsewhere here, or not at all."""
    return (
        name in ("pixel_mean", "pixel_std")
        or CELL_ANCHORS.fullmatch(name) is not None
        or name.endswith(".num_batches_tracked")
    )


def _converted(model: MaskRCNN, tensors: dict[str, np.ndarray], source: str) -> dict:
    """The tensors, for RGB pixels of our scale and for features that are channels-last."""
    converted = dict(tensors)
    mean, std = (np.ravel(tensors.get(name, 1.0)) for name in ("pixel_mean", "pixel_std"))
    ours = np.array(model.backbone.image_mean[::-1])
    if "pixel_mean" in tensors and not np.allclose(mean, ours, atol=1e-2):
        raise ValueError(
            f"{source} subtracts the mean pixel {mean.tolist()} (BGR), and the model "
            f"{ours.tolist()}: its weights are of another input"
        )
    kernel = tensors.get(STEM)  # [out, in, h, w]
    if kernel is not None and kernel.shape[1:2] == (3,):
        scale = np.array(model.backbone.image_std[::-1]) / std
        converted[STEM] = (kernel * scale[:, None, None])[:, ::-1]
    make_channels_last(converted, FIRST_DENSE, model.box_head)
    return converted


def _check_anchors(model: MaskRCNN, tensors: dict[str, np.ndarray], source: str) -> None:
    """Old checkpoints hold their anchors; those of other sizes would be decoded wrongly."""
    for name, found in tensors.items():
        match = CELL_ANCHORS.fullmatch(name)
        level = int(match[1]) if match else None
        if level is None:
            continue
        sizes = model.anchors.sizes[level] if level < len(model.anchors.sizes) else ()
        ours = [row for size in sizes for row in cell_anchors(size, model.anchors.ratios)]
        if np.shape(ours) != found.shape or not np.allclose(ours, found, atol=0.1):
            raise ValueError(
                f"{source} was trained with other anchors: {name} is {found.tolist()}; build the "
                "model with anchor_sizes and anchor_ratios that give them"
            )
