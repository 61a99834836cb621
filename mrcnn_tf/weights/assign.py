"""Puts named tensors of a checkpoint into the layers they belong to."""

from collections.abc import Callable, Iterable

import keras
import numpy as np

from mrcnn_tf.layers.box_head import BoxHead
from mrcnn_tf.layers.conv_norm import ConvNorm

# Our weight of a normalisation: the name after the dot in PyTorch.
NORMALIZATION_NAMES = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def conv_norm_weights(layer: keras.layers.Layer, conv: str, norm: str) -> dict[str, tuple]:
    """The weights of a layer by the names of a PyTorch convolution and normalisation.

    Args:
        layer: A `ConvNorm`, or a convolution with a bias and no normalisation.
        conv: Name of the PyTorch convolution, e.g. `layer1.0.conv1`.
        norm: Name of the PyTorch normalisation, e.g. `layer1.0.bn1`.

    Returns:
        For every tensor name, the Keras variable and the order of axes that turns the tensor
        into it.
    """
    if not isinstance(layer, ConvNorm):
        return {
            f"{conv}.weight": (layer.kernel, (2, 3, 1, 0)),
            f"{conv}.bias": (layer.bias, (0,)),
        }
    # [out, in, h, w] -> [h, w, in, out]; a depthwise [channels, 1, h, w] -> [h, w, channels, 1].
    axes = (2, 3, 0, 1) if layer.depthwise else (2, 3, 1, 0)
    weights = {f"{conv}.weight": (layer.kernel, axes)}
    for ours, theirs in NORMALIZATION_NAMES.items():
        if hasattr(layer.normalization, ours):  # a group normalisation has no statistics
            weights[f"{norm}.{theirs}"] = (getattr(layer.normalization, ours), (0,))
    return weights


def assign_weights(
    weights: dict[str, tuple],
    tensors: dict[str, np.ndarray],
    ignored: Callable[[str], bool],
    source: str,
) -> None:
    """Assigns every tensor to its variable, or none and says everything that does not fit.

    Args:
        weights: Tensor name to (variable, order of axes), or to (variable, order of axes, rows),
            where the tensor has so many rows in front that the variable lacks.
        tensors: The checkpoint.
        ignored: Says of a tensor name that it has no place here and need not have one.
        source: Name of the checkpoint for the error.

    Raises:
        ValueError: Tensors are missing, unexpected or of another shape; lists all of them.
    """
    shapes = {}
    for name, (variable, axes, *rows) in weights.items():
        first, *others = (variable.shape[axes.index(i)] for i in range(len(axes)))
        shapes[name] = (first + sum(rows), *others)
    check_tensors(shapes, tensors, ignored, source)
    for name, (variable, axes, *rows) in weights.items():
        variable.assign(tensors[name][sum(rows) :].transpose(axes).astype(np.float32))


def check_tensors(
    shapes: dict[str, tuple],
    tensors: dict[str, np.ndarray],
    ignored: Callable[[str], bool],
    source: str,
) -> None:
    """Raises one ValueError with every tensor that is missing, unexpected or of another shape.

    Args:
        shapes: Name and shape of every tensor that there should be.
        tensors: see `assign_weights`.
        ignored: see `assign_weights`.
        source: see `assign_weights`.
    """
    missing = [name for name in shapes if name not in tensors]
    unexpected = [name for name in tensors if name not in shapes and not ignored(name)]
    misshaped = [
        f"{name} is {tensors[name].shape}, not {tuple(shape)}"
        for name, shape in shapes.items()
        if name in tensors and tensors[name].shape != tuple(shape)
    ]
    problems = [
        f"{len(names)} {what}: {_listing(names)}"
        for what, names in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("of another shape", misshaped),
        )
        if names
    ]
    if problems:
        raise ValueError(f"{source} does not fit this model. Tensors " + "; ".join(problems))


def make_channels_last(tensors: dict[str, np.ndarray], name: str, head: BoxHead) -> None:
    """Reorders the inputs of a box head's first dense layer, whose features were channels-first.

    A tensor of another shape is left as it is, for `assign_weights` to report.

    Args:
        tensors: The checkpoint; its tensor `[out, channels * bins * bins]` is replaced.
        name: Of the tensor.
        head: The box head that it belongs to.
    """
    dense, side = tensors.get(name), head.pool_size
    if dense is not None and dense.ndim == 2 and dense.shape[1] % side**2 == 0:
        grid = dense.reshape(len(dense), -1, side, side)
        tensors[name] = grid.transpose(0, 2, 3, 1).reshape(dense.shape)


def _listing(names: Iterable[str]) -> str:
    return ", ".join(names)
