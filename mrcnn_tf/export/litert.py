"""LiteRT, also known as TensorFlow Lite: for phones, small computers and the browser."""

import os
from collections.abc import Sequence
from pathlib import Path

import keras
import tensorflow as tf

from mrcnn_tf.export.litert_custom import CUSTOM_OPERATORS, pack_settings
from mrcnn_tf.export.litert_file import add_metadata, operators
from mrcnn_tf.export.litert_quantize import check_precision, quantize
from mrcnn_tf.export.portable import Portable, read_portable
from mrcnn_tf.export.target import replacing


def save_litert(
    source: keras.Model | str | os.PathLike,
    filepath: str | os.PathLike,
    *,
    size: tuple[int, int] | None = None,
    precision: str = "float32",
    calibration: str | os.PathLike | Sequence[str | os.PathLike] | None = None,
    custom_ops: bool = False,
    overwrite: bool = True,
) -> str:
    """Write a `.tflite` file of operators that are built into LiteRT, for one image at a time.

    The file holds one signature, `serving_default`, with the inputs and outputs of
    `portable_function` by their names. Names of classes are in its metadata, as LiteRT's tools read
    them; everything of `model_labels` is in the file `labels.json`, in a zip archive that is
    appended to the model: `unzip -p bolts.tflite labels.json`.

    Args:
        source: a `MaskRCNN`, a `.keras` file, a preset's name, or a SavedModel written by `export`.
        filepath: the file to write, `*.tflite`; missing folders are made.
        size: height and width of the canvas in pixels, see `portable_function`; default: the
            model's `image_size`.
        precision: `"float32"`; `"float16"`, half the size; `"dynamic_int8"`, a quarter, features
            are rounded while the model runs; `"int8"`, convolutions on integers. Whatever is no
            convolution or dense layer is float32 always, see `quantize`.
        calibration: of `"int8"`: image files or folders of them, as the model will see them.
        custom_ops: the compiled RoIAlign, NMS and proposals instead of builtins. The file then
            needs the delegate of `litert_delegate` to run. float32 only, and from a model or a
            `.keras` file.
        overwrite: replace a file that stands there already.

    Returns:
        What there is to tell: size of the file, inputs and outputs.

    Raises:
        FileExistsError: there is a file and `overwrite` is False, or there is a folder.
        FileNotFoundError: there is no such source, or an image for the calibration is missing.
        ModuleNotFoundError: `ai-edge-quantizer`, which other precisions need, is not installed.
        ValueError: the path is not a local one or does not end in `.tflite`, the model is one that
            LiteRT cannot run, or `precision` and `calibration` do not fit.

    Example:

    ```python
    save_litert("runs/first/best.keras", "bolts.tflite", size=(480, 640))
    save_litert("runs/first/best.keras", "small.tflite", precision="int8", calibration="images")
    ```
    """
    if Path(filepath).suffix != ".tflite":
        raise ValueError(f"{os.fspath(filepath)} must end in .tflite.")
    images = check_precision(precision, calibration)
    if custom_ops and precision != "float32":
        raise ValueError(f"custom_ops=True is for float32 alone, got precision={precision!r}.")
    with replacing(filepath, overwrite) as file:
        portable = read_portable(source, size, ops="compiled" if custom_ops else "plain")
        content = _convert(portable, custom_ops)
        _check_operators(content, CUSTOM_OPERATORS if custom_ops else ())
        content = pack_settings(content) if custom_ops else content
        content = quantize(content, precision, images, portable.size)
        file.write_bytes(add_metadata(content, portable.labels, Path(filepath).stem))
        megabytes = file.stat().st_size / 1e6
    return f"{os.fspath(filepath)} is written, {megabytes:.1f} MB:\n{_describe(portable)}"


def _convert(portable: Portable, custom_ops: bool) -> bytes:
    # Without an object that tracks it, a function loses the names of its inputs and outputs.
    converter = tf.lite.TFLiteConverter.from_concrete_functions([portable.function], tf.Module())
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    converter.allow_custom_ops = custom_ops
    return converter.convert()


def _check_operators(content: bytes, allowed: Sequence[str] = ()) -> None:
    """Refuse a model that would not run, or that has lost its weights."""
    used = operators(content) - {f"custom {name}" for name in allowed}
    wrong = sorted(name for name in used if name.startswith("custom ") or "VARIABLE" in name)
    if wrong:
        raise ValueError(
            f"The model was not written: it would hold {', '.join(wrong)}. Weights have to be "
            "constants, and layers of your own have to keep to the ops that LiteRT knows."
        )


def _describe(portable: Portable) -> str:
    function = portable.function
    lines = []
    for side, specs in (
        ("in ", function.structured_input_signature[1]),
        ("out", function.structured_outputs),
    ):
        for name, spec in sorted(specs.items()):
            lines.append(f"  {side} {name}: {spec.dtype.name} {spec.shape.as_list()}")
    return "\n".join(lines)
