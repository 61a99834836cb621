"""The SavedModel: for TF Serving, for TensorFlow in any language, and for other converters."""

import json
import os
from pathlib import Path

import keras
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from mrcnn_tf.export.labels import model_labels
from mrcnn_tf.export.portable import LABELS, SIGNATURE, portable_function, read_model
from mrcnn_tf.export.serving import images_spec, serving_functions
from mrcnn_tf.export.target import replacing
from mrcnn_tf.models import MatterportMaskRCNN


def save_saved_model(
    source: keras.Model | str | os.PathLike,
    filepath: str | os.PathLike,
    *,
    input_signature=None,
    size: tuple[int, int] | None = None,
    overwrite: bool = True,
) -> str:
    """Write a SavedModel of core TensorFlow ops, which needs neither this package nor Keras.

    All signatures return `boxes [B, D, 4]`, `classes [B, D]`, `keypoints [B, D, K, 3]`,
    `masks [B, D, 28, 28]`, `num_detections [B]` and `scores [B, D]`, as the model does:

    - `serving_default(images [B, H, W, 3] uint8)`: equal to `model.predict(images)`. Images are
      taken at the size they have, boxes are in their pixels.
    - `serve_padded(images, image_sizes [B, 2] int32)`: equal to `model.predict` of that dict, for
      a batch of images of different sizes.
    - `serve_images(images)`: for images of any size, equal to `Predictor`: they are resized to
      the model's `image_size` by its `image_resize`, and boxes and joints are scaled back to the
      pixels of the images given. Of `image_resize="detectron2"`, which outside a graph is Pillow's
      own function, about one value in 300 comes out a level off.
    - `portable(images [1, H, W, 3], image_sizes [1, 2] int32)`: the function that other formats are
      made from, see `portable_function`; a `MatterportMaskRCNN` has none.

    Loaded again, the object has the same functions as methods, `serving_default` by Keras's name
    `serve`. Names of classes and joints and the data set's category ids are in
    `assets/labels.json`. The folder is complete or not there at all: it is written beside its
    place and then renamed.

    TF Serving looks for versions `<name>/<integer>/`, so give it e.g. `nuclei/1`.

    Args:
        source: a `MaskRCNN`, a `.keras` file or a preset's name.
        filepath: the folder to write; missing parents are made.
        input_signature: `tf.TensorSpec` or `keras.InputSpec` of `images` `[B, H, W, 3]`, or a list
            or dict that holds just that, for fixed dimensions or for float32 images in
            `serving_default` and `serve_padded`. Default: any size, uint8.
        size: height and width of the images of `portable`; default: the model's `image_size`.
        overwrite: replace a SavedModel that stands there already.

    Returns:
        What there is to tell: the signatures.

    Raises:
        FileExistsError: there is a SavedModel and `overwrite` is False, or there is anything else
            than a SavedModel or an empty folder.
        ValueError: the input signature does not fit, or the path is not a local one.

    Example:

    ```python
    model.export("nuclei/1")
    served = tf.saved_model.load("nuclei/1")
    served.serve_images(tf.constant(photo[None]))["boxes"]  # [1, 100, 4], the photo's pixels
    ```
    """
    spec = images_spec(input_signature)
    with replacing(filepath, overwrite, "saved_model.pb") as folder:
        model = source if isinstance(source, keras.Model) else read_model(source)
        module = tf.Module()
        module.weights = [variable.value for variable in model.weights]
        module.labels = tf.saved_model.Asset(_write_labels(model, folder.parent))
        functions = serving_functions(model, spec)
        if not isinstance(model, MatterportMaskRCNN):
            functions[SIGNATURE] = portable_function(model, size)
        for name, function in functions.items():
            setattr(module, "serve" if name == "serving_default" else name, function)
        tf.saved_model.save(
            module,
            str(folder),
            signatures=functions,
            options=tf.saved_model.SaveOptions(experimental_custom_gradients=False),
        )
        signatures = describe_saved_model(folder)
    return f"{os.fspath(filepath)} is written. Signatures:\n{signatures}"


def describe_saved_model(filepath: str | os.PathLike) -> str:
    """Signatures of a SavedModel with names, dtypes and shapes, one input or output a line.

    Only the names and shapes are read, not the weights.
    """
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((Path(filepath) / "saved_model.pb").read_bytes())
    definitions = saved.meta_graphs[0].signature_def
    lines = []
    for name in sorted(definitions):
        if name.startswith("__"):  # TensorFlow's own, which initialises the assets
            continue
        lines.append(f"  {name}")
        sides = (("in ", definitions[name].inputs), ("out", definitions[name].outputs))
        for side, tensors in sides:
            lines += [f"    {side} {key}: {_shape_text(tensors[key])}" for key in sorted(tensors)]
    return "\n".join(lines)


def _shape_text(info) -> str:
    sizes = ", ".join("None" if dim.size < 0 else str(dim.size) for dim in info.tensor_shape.dim)
    return f"{tf.as_dtype(info.dtype).name} [{sizes}]"


def _write_labels(model: keras.Model, folder: Path) -> str:
    path = folder / LABELS.name
    labels = model_labels(model)
    path.write_text(json.dumps(labels, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return str(path)
