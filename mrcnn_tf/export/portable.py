"""The function that every format without TensorFlow is made from."""

from __future__ import annotations

import json
import os
import typing
from dataclasses import dataclass
from pathlib import Path

import keras
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from mrcnn_tf.boxes import rescale_boxes, rescale_points
from mrcnn_tf.export.fixed_resize import FixedResize
from mrcnn_tf.export.labels import model_labels
from mrcnn_tf.export.serving import trace_model
from mrcnn_tf.export.signatures import custom_ops
from mrcnn_tf.export.stored_weights import StoredWeights
from mrcnn_tf.models import MaskRCNN, MatterportMaskRCNN, load

SIGNATURE = "portable"
LABELS = Path("assets", "labels.json")


@dataclass(frozen=True)
class Portable:
    """A model on the way to another format.

    Attributes:
        function: see `portable_function`, with the weights as constants.
        labels: see `model_labels`.
        size: height and width of the canvas.
    """

    function: tf.types.experimental.ConcreteFunction
    labels: dict[str, typing.Any]
    size: tuple[int, int]


def portable_function(
    model: keras.Model,
    size: tuple[int, int] | None = None,
    batch: int | None = 1,
    dtype: tf.DType = tf.uint8,
    weights: StoredWeights | None = None,
    ops: str = "plain",
) -> tf.types.experimental.ConcreteFunction:
    """A model from the pixels of an image to boxes in its pixels, with fixed shapes.

    The image lies in the upper left of a canvas. It is resized by the model's `image_resize` to the
    model's `image_size`, or as far as the canvas allows: what an image as large as the canvas
    becomes is the size that the network always runs at. So a canvas has the shape of most images,
    and one of the other orientation is seen smaller than by `Predictor`.

    Ops are those that TF.js, LiteRT with its builtins, ONNX and OpenVINO have in common.

    Args:
        model: a `MaskRCNN`.
        size: height and width of the canvas in pixels; default: the model's `image_size`.
        batch: images at a time; None leaves it open.
        dtype: of the pixels, 0..255.
        weights: see `trace_model`.
        ops: likewise.

    Returns:
        A function of `images [B, H, W, 3]` and `image_sizes [B, 2] int32`, the height and width of
        each image. It gives what the model does: `boxes [B, D, 4]`, `classes [B, D]`,
        `keypoints [B, D, K, 3]` of a model with joints, `masks [B, D, 28, 28]`,
        `num_detections [B]` and `scores [B, D]`.

    Raises:
        ValueError: see `check_portable`.

    Example:

    ```python
    detect = portable_function(model, (480, 640))
    detect(images=tf.constant(photo[None]), image_sizes=tf.constant([[480, 640]]))["boxes"]
    ```
    """
    size = check_portable(model, size)
    resize = FixedResize(size, *model.image_size, model.image_resize)
    spec = tf.TensorSpec([batch, *resize.new_canvas, 3], tf.float32, "images")
    detect = trace_model(model, spec, ops, weights)
    specs = [
        tf.TensorSpec([batch, *size, 3], dtype, "images"),
        tf.TensorSpec([batch, 2], tf.int32, "image_sizes"),
    ]

    @tf.function(input_signature=specs, autograph=False)
    def portable(images, image_sizes):
        sizes = tf.clip_by_value(image_sizes, 1, tf.constant([size]))
        new_sizes = resize.new_sizes(sizes)
        detections = detect(resize(tf.cast(images, tf.float32), sizes, new_sizes), new_sizes)
        moved = {"boxes": rescale_boxes(detections["boxes"], new_sizes, sizes)}
        if "keypoints" in detections:
            moved["keypoints"] = rescale_points(detections["keypoints"], new_sizes, sizes)
        return detections | moved

    return portable.get_concrete_function()


def check_portable(model: keras.Model, size: tuple[int, int] | None = None) -> tuple[int, int]:
    """The canvas of a model, or why there is none.

    Raises:
        ValueError: the model has ops that other runtimes lack, or the size is none.
    """
    if isinstance(model, MatterportMaskRCNN):
        raise ValueError(
            "A MatterportMaskRCNN pools by CropAndResize, which LiteRT has no builtin for: it can "
            "be exported as a SavedModel only. Train or import a MaskRCNN for other formats."
        )
    size = tuple(model.image_size if size is None else size)
    if len(size) != 2 or min(size) < 1 or any(int(side) != side for side in size):
        raise ValueError(f"size must be height and width in pixels, got {size}.")
    return tuple(int(side) for side in size)


def read_portable(
    source: keras.Model | Portable | str | os.PathLike,
    size: tuple[int, int] | None = None,
    batch: int | None = 1,
    dtype: tf.DType = tf.uint8,
    ops: str = "plain",
) -> Portable:
    """The portable function of whatever holds a model, with its weights as constants.

    Args:
        source: a `MaskRCNN`, a `.keras` file, a preset's name, or a SavedModel written by `export`,
            which carries this function already, for batches of one image; or what an earlier call
            gave, for several formats of one model.
        size: see `portable_function`.
        batch: likewise.
        dtype: likewise.
        ops: see `trace_model`; a SavedModel has the plain ones.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the source is none of these, or a SavedModel that has the function with other
            arguments or not at all.
    """
    if ops != "plain" and _is_traced(source):
        raise ValueError(
            "Compiled ops are chosen when a model is traced, and a SavedModel has been: give the "
            ".keras file instead."
        )
    if isinstance(source, Portable):
        _check_images(source.function, size, batch, dtype, "The Portable")
        return source
    if _is_traced(source):
        return _of_saved_model(Path(source), size, batch, dtype)
    model = source if isinstance(source, keras.Model) else read_model(source)
    return _frozen(portable_function(model, size, batch, dtype, ops=ops), model_labels(model))


def _is_traced(source) -> bool:
    if isinstance(source, (Portable, keras.Model)):
        return isinstance(source, Portable)
    return (Path(source) / "saved_model.pb").is_file()


def read_model(source: str | os.PathLike) -> keras.Model:
    """The model of a `.keras` file or of a preset.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not a saved model, or the name that of no preset.
    """
    source = os.fspath(source)
    if source.endswith(".keras") or os.path.exists(source):
        return load(source, compile=False)
    return MaskRCNN.from_preset(source)


def _of_saved_model(folder, size, batch, dtype):
    ops = custom_ops(folder)
    if ops:
        raise ValueError(
            f"{folder} holds compiled ops ({', '.join(ops)}), which other formats have not: export "
            "the .keras file instead."
        )
    served = tf.saved_model.load(folder)
    function = served.signatures.get(SIGNATURE)
    if function is None:
        raise ValueError(
            f"{folder} has no signature {SIGNATURE!r}: it was written by an older version or holds "
            "a model that other formats cannot express. Export it again from the .keras file."
        )
    _check_images(function, size, batch, dtype, folder)
    return _frozen(function, json.loads((folder / LABELS).read_text(encoding="utf-8")))


def _check_images(function, size, batch, dtype, holder) -> None:
    images = function.structured_input_signature[1]["images"]
    wanted = tf.TensorSpec([batch, *(size or images.shape[1:3]), 3], dtype)
    if (images.shape.as_list(), images.dtype) != (wanted.shape.as_list(), wanted.dtype):
        raise ValueError(
            f"{holder} holds the function for images {images.dtype.name} {images.shape}, and "
            f"{dtype.name} {wanted.shape} is asked for: give the .keras file instead."
        )


def _frozen(function, labels) -> Portable:
    """With variables as constants, and the same names of inputs and outputs."""
    # Lowered, an If or While becomes Switch and Merge, which converters take for other things.
    constant = convert_variables_to_constants_v2(function, lower_control_flow=False)
    names = sorted(function.structured_outputs)
    inputs = function.structured_input_signature
    specs = {spec.name: spec for spec in [*inputs[0], *inputs[1].values()]}
    order = [tensor.name.partition(":")[0] for tensor in constant.inputs]
    specs = [tf.TensorSpec(specs[name].shape, specs[name].dtype, name) for name in order]

    @tf.function(autograph=False)
    def portable(**images):
        outputs = constant(*(images[name] for name in order))
        return dict(zip(names, outputs, strict=True))

    function = portable.get_concrete_function(**{spec.name: spec for spec in specs})
    height, width = function.structured_input_signature[1]["images"].shape[1:3]
    return Portable(function, labels, (height, width))
