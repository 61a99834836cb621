"""Matterport's Mask R-CNN: names, conversion of its weights."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from mrcnn_tf.models.matterport import MatterportMaskRCNN
from mrcnn_tf.weights.assign import check_tensors
from mrcnn_tf.weights.coco_categories import COCO_CLASSES

# `RPN_BBOX_STD_DEV`, by which the RPN's deltas are to be multiplied: y, x, height, width.
RPN_DEVIATIONS = np.array([0.1, 0.1, 0.2, 0.2])
# Deltas are y, x, height, width there, and x, y, width, height here.
DELTA_ORDER = [1, 0, 3, 2]

CLASSES = "mrcnn_class_logits/kernel"
NEEDED = (CLASSES, "conv1/kernel", "fpn_p2/kernel", "rpn_conv_shared/kernel")


def model_from_matterport(path: str | os.PathLike, **arguments: Any) -> MatterportMaskRCNN:
    """Builds the model that a weight file of Matterport's Mask R-CNN belongs to, with its weights.

    Depth of the ResNet, widths and number of classes follow from the file, of which one with 81
    outputs is taken to be of COCO; the rest is Matterport's `Config`.

    Args:
        path: see `load_matterport_weights`.
        **arguments: of `MatterportMaskRCNN`, e.g. `class_names`, or where the configuration was
            another: `image_size` is `(IMAGE_MIN_DIM, IMAGE_MAX_DIM)`, `anchor_sizes` is
            `RPN_ANCHOR_SCALES`, `score_threshold` is `DETECTION_MIN_CONFIDENCE`, `nms_threshold` is
            `DETECTION_NMS_THRESHOLD`, `max_detections` is `DETECTION_MAX_INSTANCES`.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: see `load_matterport_weights`.

    Example:
        >>> model = model_from_matterport("mask_rcnn_coco.h5", score_threshold=0.5)
        >>> model.class_names[0], model.category_ids[-1]
        ('person', 90)
    """
    tensors = read_matterport_file(path)
    model = MatterportMaskRCNN(**{**matterport_arguments(tensors, os.fspath(path)), **arguments})
    _assign(model, tensors, os.fspath(path))
    return model


def load_matterport_weights(model: MatterportMaskRCNN, path: str | os.PathLike) -> None:
    """Loads a weight file of Matterport's Mask R-CNN into a model.

    The biases of convolutions before a normalisation go into its mean, the normalisations of the
    heads into the layer before them, and the two logits of an anchor into their difference: none of
    this changes what is computed.

    Args:
        model: Of sizes that fit.
        path: An `.h5` file as Keras 2 writes it, of weights or of a whole model.

    Raises:
        FileNotFoundError: There is no such file.
        TypeError: The model is no `MatterportMaskRCNN`.
        ValueError: The file cannot be read, is of another network, or its tensors do not fit; every
            tensor that is missing, unexpected or of another shape is named, and nothing was loaded.
    """
    if not isinstance(model, MatterportMaskRCNN):
        raise TypeError(f"Matterport's weights need a MatterportMaskRCNN, not {model!r}")
    _assign(model, read_matterport_file(path), os.fspath(path))


def read_matterport_file(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Reads the tensors of a weight file by the names of their layers, e.g. `conv1/kernel`.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no HDF5 file, a truncated one, or without the layers of a Mask R-CNN.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no file {os.fspath(path)}")
    try:
        with h5py.File(path, "r") as file:
            group = file.get("model_weights", file)
            found = {}
            group.visititems(lambda name, item: found.update({name: item}))
            found = {
                _tensor_name(name): item
                for name, item in found.items()
                if isinstance(item, h5py.Dataset)
            }
            missing = [name for name in NEEDED if name not in found]
            if missing:
                raise ValueError(
                    f"{os.fspath(path)} is no Mask R-CNN of Matterport: it lacks "
                    f"{', '.join(missing)}"
                )
            return {name: np.asarray(item) for name, item in found.items()}
    except OSError as error:
        raise ValueError(
            f"{os.fspath(path)} is no HDF5 file, or truncated or damaged: fetch it again ({error})"
        ) from error


def matterport_arguments(tensors: dict[str, np.ndarray], source: str) -> dict[str, Any]:
    """The arguments of `MatterportMaskRCNN` that follow from the shapes of its tensors.

    Raises:
        ValueError: Its ResNet is none of 50 or 101 layers.
    """
    stage4 = sum(re.fullmatch(r"res4\w_branch2c/kernel", name) is not None for name in tensors)
    backbones = {6: "resnet50", 23: "resnet101"}
    if stage4 not in backbones:
        raise ValueError(
            f"{source} has {stage4} blocks in stage 4 of its ResNet, and only 6 (ResNet-50) or 23 "
            "(ResNet-101) can be read"
        )

    def width(layer: str, default: int) -> int:
        # What is missing is reported later, with everything else that is.
        kernel = tensors.get(f"{layer}/kernel")
        return default if kernel is None or not kernel.ndim else kernel.shape[-1]

    num_classes = width("mrcnn_class_logits", 0) - 1
    return {
        "backbone": backbones[stage4],
        "num_classes": num_classes,
        **(COCO_CLASSES if num_classes == COCO_CLASSES["num_classes"] else {}),
        "mask": any(name.startswith("mrcnn_mask") for name in tensors),
        "backbone_channels": width("conv1", 64),
        "fpn_channels": width("fpn_p2", 256),
        "rpn_channels": width("rpn_conv_shared", 512),
        "box_fc": (width("mrcnn_class_conv1", 1024), width("mrcnn_class_conv2", 1024)),
        "mask_channels": width("mrcnn_mask_conv1", 256),
    }


class WeightTable:
    """Which tensors of a file make each variable of a model.

    Attributes:
        shapes: Name and shape of every tensor that a file needs.
        sources: For every variable, the names of its tensors and what makes its value of them.
    """

    def __init__(self):
        self.shapes: dict[str, tuple] = {}
        self.sources: list[tuple[Any, tuple[str, ...], Callable]] = []

    def add(self, variable, shapes: dict[str, tuple], convert: Callable = np.asarray) -> None:
        """Adds a variable: the tensors, and the function of their float64 values."""
        self.shapes.update({name: tuple(shape) for name, shape in shapes.items()})
        self.sources.append((variable, tuple(shapes), convert))


def matterport_weights(model: MatterportMaskRCNN) -> WeightTable:
    """The table of Matterport's names for a model."""
    table = WeightTable()

    def add(layer, name: str) -> None:
        for weight in ("kernel", "bias"):
            variable = getattr(layer, weight)
            table.add(variable, {f"{name}/{weight}": variable.shape})

    _add_conv_norm(table, model.backbone.stem, "conv1", "bn_conv1")
    for block in model.backbone.blocks:
        stage, index = (int(part.lstrip("stageblock")) for part in block.name.split("_"))
        name = f"{stage}{chr(ord('a') + index - 1)}_branch"
        for branch, conv in zip(("2a", "2b", "2c"), block.convs, strict=True):
            _add_conv_norm(table, conv, f"res{name}{branch}", f"bn{name}{branch}")
        if block.shortcut is not None:
            _add_conv_norm(table, block.shortcut, f"res{name}1", f"bn{name}1")
    for level, lateral in enumerate(model.fpn.laterals, start=model.fpn.min_level):
        add(lateral, f"fpn_c{level}p{level}")
    for level, output in enumerate(model.fpn.outputs, start=model.fpn.min_level):
        add(output, f"fpn_p{level}")

    for index, conv in enumerate(model.rpn.convs):
        add(conv, "rpn_conv_shared" + (str(index) if index else ""))
    _add_converted(table, model.rpn.logits, "rpn_class_raw", 2, _object_less_background)
    _add_converted(table, model.rpn.deltas, "rpn_bbox_pred", 1, _scaled_deltas)

    epsilon = model.backbone.epsilon
    shape = (model.box_head.pool_size, model.box_head.pool_size, model.box_head.in_channels)
    for index, dense in enumerate(model.box_head.hidden, start=1):
        names = f"mrcnn_class_conv{index}", f"mrcnn_class_bn{index}"
        _add_folded(table, dense, *names, (*shape, dense.units), epsilon)
        shape = (1, 1, dense.units)
    extra = 1 + 1 / model.num_classes  # background
    _add_converted(table, model.box_head.logits, "mrcnn_class_logits", 1, _background_last)
    _add_converted(table, model.box_head.deltas, "mrcnn_bbox_fc", extra, _class_deltas)
    if model.mask:
        for index, conv in enumerate(model.mask_head.convs, start=1):
            names = f"mrcnn_mask_conv{index}", f"mrcnn_mask_bn{index}"
            _add_folded(table, conv, *names, conv.kernel.shape, epsilon)
        add(model.mask_head.upsample, "mrcnn_mask_deconv")
        _add_converted(table, model.mask_head.logits, "mrcnn_mask", extra, _without_background)
    return table


def _add_conv_norm(table: WeightTable, layer, conv: str, norm: str) -> None:
    channels = (layer.out_channels,)
    table.add(layer.kernel, {f"{conv}/kernel": layer.kernel.shape})
    for weight in ("gamma", "beta", "moving_variance"):
        table.add(getattr(layer.normalization, weight), {f"{norm}/{weight}": channels})
    table.add(
        layer.normalization.moving_mean,
        {f"{norm}/moving_mean": channels, f"{conv}/bias": channels},
        np.subtract,
    )


def _add_folded(table: WeightTable, layer, conv: str, norm: str, shape, epsilon: float) -> None:
    """A convolution of `shape` and its normalisation, as the one layer that does both."""
    names = [f"{norm}/gamma", f"{norm}/moving_variance"]
    rest = [f"{norm}/moving_mean", f"{norm}/beta", f"{conv}/bias"]
    vectors = {name: shape[-1:] for name in names + rest}

    def kernel(kernel, gamma, variance):
        return (kernel * gamma / np.sqrt(variance + epsilon)).reshape(layer.kernel.shape)

    def bias(gamma, variance, mean, beta, bias):
        return (bias - mean) * gamma / np.sqrt(variance + epsilon) + beta

    table.add(
        layer.kernel, {f"{conv}/kernel": shape, **{name: vectors[name] for name in names}}, kernel
    )
    table.add(layer.bias, vectors, bias)


def _add_converted(table: WeightTable, layer, name: str, factor: float, convert: Callable) -> None:
    """A layer that has `factor` times as many outputs there, of which `convert` makes ours."""
    for weight in ("kernel", "bias"):
        variable = getattr(layer, weight)
        outputs = round(variable.shape[-1] * factor)
        table.add(variable, {f"{name}/{weight}": (*variable.shape[:-1], outputs)}, convert)


def _object_less_background(logits: np.ndarray) -> np.ndarray:
    return logits[..., 1::2] - logits[..., ::2]


def _scaled_deltas(deltas: np.ndarray) -> np.ndarray:
    anchors = deltas.reshape(*deltas.shape[:-1], -1, 4) * RPN_DEVIATIONS
    return anchors[..., DELTA_ORDER].reshape(deltas.shape)


def _background_last(logits: np.ndarray) -> np.ndarray:
    return np.roll(logits, -1, axis=-1)


def _class_deltas(deltas: np.ndarray) -> np.ndarray:
    classes = deltas.reshape(*deltas.shape[:-1], -1, 4)[..., 1:, DELTA_ORDER]
    return classes.reshape(*deltas.shape[:-1], -1)


def _without_background(logits: np.ndarray) -> np.ndarray:
    return logits[..., 1:]


def _tensor_name(path: str) -> str:
    """`conv1/kernel` out of `conv1/conv1_1/kernel:0`: the outermost group is the layer.

    The RPN is a model in the model, whose layers are the groups within its own.
    """
    *groups, weight = path.split("/")
    layer = groups[0] if groups else ""
    if layer == "rpn_model":
        layer = re.sub(r"_\d+$", "", groups[-1])
    return f"{layer}/{weight.split(':')[0]}"


def _assign(model: MatterportMaskRCNN, tensors: dict[str, np.ndarray], source: str) -> None:
    if not hasattr(model.backbone.stem.normalization, "moving_mean"):
        raise ValueError(
            f"{source} has the statistics of a batch normalisation, and the model was built with "
            f"norm={model.arguments['norm']!r}, which has none"
        )
    table = matterport_weights(model)
    check_tensors(table.shapes, tensors, lambda name: False, source)
    for variable, names, convert in table.sources:
        values = convert(*(tensors[name].astype(np.float64) for name in names))
        variable.assign(values.astype(np.float32))
