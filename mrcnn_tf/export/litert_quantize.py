"""Smaller numbers in a `.tflite` file: float16 or int8 in the convolutions, float32 elsewhere.

Quantizing by TensorFlow's own converter takes the anchors, thresholds and pixel coordinates for
weights: int8 moves anchors by up to 5 px in a photo of 1333 px, float16 by half a pixel.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from tensorflow.lite.python import schema_py_generated as schema

from mrcnn_tf.export.litert_file import unpack
from mrcnn_tf.models.predictor import read_upright_image

PRECISIONS = ("float32", "float16", "dynamic_int8", "int8")
CALIBRATION_IMAGES = 64

_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")
_BUILTIN = schema.BuiltinOperator
# Operators with weights, by their names in AI Edge Quantizer.
_WEIGHTED = {
    _BUILTIN.CONV_2D: "CONV_2D",
    _BUILTIN.DEPTHWISE_CONV_2D: "DEPTHWISE_CONV_2D",
    _BUILTIN.TRANSPOSE_CONV: "CONV_2D_TRANSPOSE",
    _BUILTIN.FULLY_CONNECTED: "FULLY_CONNECTED",
}
# What may lie between two of them without a detour through float32.
_BETWEEN = {
    _BUILTIN.ADD: "ADD",
    _BUILTIN.MAX_POOL_2D: "MAX_POOL_2D",
    _BUILTIN.PAD: "PAD",
    _BUILTIN.RESIZE_NEAREST_NEIGHBOR: "RESIZE_NEAREST_NEIGHBOR",
}
# Behind these are boxes and scores, no longer features.
_ENDS = (
    *(_BUILTIN.GATHER, _BUILTIN.TOPK_V2, _BUILTIN.CAST, _BUILTIN.SOFTMAX, _BUILTIN.LOGISTIC),
    *(_BUILTIN.NON_MAX_SUPPRESSION_V4, _BUILTIN.NON_MAX_SUPPRESSION_V5, _BUILTIN.ARG_MAX),
)


def check_precision(precision: str, calibration: str | os.PathLike | Sequence | None) -> list[Path]:
    """The images for the calibration, or what is wrong with the settings.

    Raises:
        FileNotFoundError: an image or the folder does not exist.
        ModuleNotFoundError: `ai-edge-quantizer` is not installed.
        ValueError: an unknown precision, `"int8"` without images, or images without need.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision={precision!r} must be one of {', '.join(PRECISIONS)}.")
    if (precision == "int8") != (calibration is not None):
        raise ValueError(
            "precision='int8' needs calibration: image files or folders of them, as the model will "
            "see them. No other precision takes it."
        )
    if precision != "float32":
        try:
            import ai_edge_quantizer  # noqa: F401 - tells before hours are spent
        except ImportError as error:
            raise ModuleNotFoundError(
                f'precision={precision!r} needs ai-edge-quantizer: pip install "mrcnn-tf[litert]"'
            ) from error
    return [] if calibration is None else _images(calibration)


def quantize(
    content: bytes, precision: str, images: Sequence[Path], size: tuple[int, int]
) -> bytes:
    """The bytes of a float32 model in another precision.

    Weights of convolutions and dense layers become float16 or int8, the latter with a scale for
    each channel. Of `"dynamic_int8"` features stay float32 and are rounded within an operator. Of
    `"int8"` they are int8 from convolution to convolution; what gives logits and deltas stays
    float32 as does all that comes before the first convolution and after the last.

    Args:
        content: the model.
        precision: one of `PRECISIONS`.
        images: for `"int8"`: they show how large features are. At most `CALIBRATION_IMAGES` of
            them are used, evenly spread.
        size: height and width of the canvas.
    """
    if precision == "float32":
        return content
    from ai_edge_quantizer.qtyping import TFLOperationName as Name
    from ai_edge_quantizer.quantizer import Quantizer

    quantizer, calibrated = Quantizer(bytearray(content)), None
    if precision == "int8":
        weighted, between = _integer_operators(content)
        for code, name in (_WEIGHTED | _BETWEEN).items():
            names = [re.escape(n) for n in (weighted if code in _WEIGHTED else between)]
            if names:
                quantizer.add_static_config(f"^(?:{'|'.join(names)});?$", Name(name), 8, 8)
    else:
        for name in _WEIGHTED.values():
            if precision == "dynamic_int8":
                quantizer.add_dynamic_config(".*", Name(name), 8)
            else:
                quantizer.update_quantization_recipe(".*", Name(name), *_float16())
    with contextlib.redirect_stderr(io.StringIO()):  # bars of progress
        if precision == "int8":
            chosen = np.linspace(0, len(images) - 1, min(len(images), CALIBRATION_IMAGES))
            samples = [_on_canvas(images[int(round(i))], size) for i in chosen]
            calibrated = quantizer.calibrate(
                {"serving_default": samples}, num_threads=os.cpu_count() or 1
            )
        result = quantizer.quantize(calibrated, enable_progress_report=False)
    return bytes(result.quantized_model)


def _float16():
    from ai_edge_quantizer import qtyping
    from ai_edge_quantizer.algorithm_manager import AlgorithmName

    weights = qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT)
    config = qtyping.OpQuantizationConfig(
        weight_tensor_config=weights,
        compute_precision=qtyping.ComputePrecision.FLOAT,
        explicit_dequantize=True,
    )
    return config, AlgorithmName.FLOAT_CASTING


def _integer_operators(content: bytes) -> tuple[list[str], list[str]]:
    """Outputs of operators with weights that become int8, and of those that lie between them."""
    model = unpack(content)
    graph = model.subgraphs[0]
    codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in model.operatorCodes]
    name = [tensor.name.decode() for tensor in graph.tensors]
    constants = {
        i for i, tensor in enumerate(graph.tensors) if model.buffers[tensor.buffer].data is not None
    }
    # Backwards: from which tensors there is a way to a convolution?
    leads_on, weighted = set(), []
    for operator in reversed(graph.operators):
        code, [output, *_] = codes[operator.opcodeIndex], operator.outputs
        if code in _WEIGHTED:
            if output in leads_on:
                weighted.append(output)
            leads_on.update(operator.inputs)
        elif code not in _ENDS and any(each in leads_on for each in operator.outputs):
            leads_on.update(operator.inputs)
    # Forwards: which features are integers on both sides?
    integers, between = set(weighted), []
    for operator in graph.operators:
        inputs = [each for each in operator.inputs if each not in constants]
        if codes[operator.opcodeIndex] in _BETWEEN and integers.issuperset(inputs) and inputs:
            between.append(operator.outputs[0])
            integers.add(operator.outputs[0])
    return [name[i] for i in weighted], [name[i] for i in between]


def _images(calibration) -> list[Path]:
    paths = [calibration] if isinstance(calibration, (str, os.PathLike)) else calibration
    images = []
    for path in map(Path, paths):
        if path.is_dir():
            inside = [each for each in sorted(path.iterdir()) if each.suffix.lower() in _SUFFIXES]
            if not inside:
                raise ValueError(f"calibration: there is no image in {path}.")
            images += inside
        elif path.is_file():
            images.append(path)
        else:
            raise FileNotFoundError(f"calibration: there is no image file {path}.")
    if not images:
        raise ValueError("calibration names no image.")
    return images


def _on_canvas(path: Path, size: tuple[int, int]) -> dict[str, np.ndarray]:
    image = Image.fromarray(read_upright_image(path))
    image.thumbnail((size[1], size[0]))
    canvas = np.zeros((1, *size, 3), np.uint8)
    canvas[0, : image.height, : image.width] = image
    return {"images": canvas, "image_sizes": np.int32([[image.height, image.width]])}
