"""The SavedModel: for TF Serving, for TensorFlow in any language, and for other converters."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import keras
import tensorflow as tf

from mrcnn_tf.export.labels import model_labels
from mrcnn_tf.export.portable import (
    LABELS,
    SIGNATURE,
    check_portable,
    portable_function,
    read_model,
)
from mrcnn_tf.export.served_masks import check_mask_form
from mrcnn_tf.export.serving import images_spec, serving_functions
from mrcnn_tf.export.signatures import describe_saved_model
from mrcnn_tf.export.stored_weights import StoredWeights
from mrcnn_tf.export.target import replacing
from mrcnn_tf.export.warmup import read_warmup, warmup_records, write_warmup
from mrcnn_tf.models import MatterportMaskRCNN
from mrcnn_tf.ops import OpsUnavailableError, load


def save_saved_model(
    source: keras.Model | str | os.PathLike,
    filepath: str | os.PathLike,
    *,
    input_signature=None,
    size: tuple[int, int] | None = None,
    masks: str = "boxes",
    weights_dtype: str = "float32",
    custom_ops: bool = False,
    warmup: bool | Sequence[str | os.PathLike] = False,
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
    - `serve_bytes(image_bytes [B] string)`: the same for contents of image files, which may differ
      in size, see `decode_upright`. It adds `image_sizes [B, 2]`.
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
        masks: `"boxes"`, or `"image"` or `"rle"` for pasted masks in all signatures but `portable`,
            see `with_masks`.
        weights_dtype: `"float32"`, or `"bfloat16"` for half the file, see `StoredWeights`.
        custom_ops: use the compiled ops of this package, which whoever loads the SavedModel must
            have; without `portable`.
        warmup: write requests that TF Serving runs before it says it is ready: True for grey
            images, or image files; see `warmup_records`.
        overwrite: replace a SavedModel that stands there already.

    Returns:
        What there is to tell: the signatures.

    Raises:
        FileExistsError: there is a SavedModel and `overwrite` is False, or there is anything else
            than a SavedModel or an empty folder.
        FileNotFoundError: there is no such image for `warmup`.
        ModuleNotFoundError: `warmup` without the package tensorflow-serving-api.
        ValueError: an argument does not fit the model or the others, the compiled ops are not
            available, or the path is not a local one.

    Example:

    ```python
    model.export("nuclei/1")
    served = tf.saved_model.load("nuclei/1")
    served.serve_images(tf.constant(photo[None]))["boxes"]  # [1, 100, 4], the photo's pixels
    ```
    """
    spec = images_spec(input_signature)
    check_mask_form(masks, has_masks=True)
    _check_custom_ops(custom_ops, size)
    images = read_warmup(warmup)
    with replacing(filepath, overwrite, "saved_model.pb") as folder:
        model = source if isinstance(source, keras.Model) else read_model(source)
        check_mask_form(masks, has_masks=model.mask)
        has_portable = not (custom_ops or isinstance(model, MatterportMaskRCNN))
        if has_portable or size is not None:
            size = check_portable(model, size)
        weights = StoredWeights(model, weights_dtype)
        ops = "compiled" if custom_ops else "plain"
        functions = serving_functions(model, spec, masks, ops, weights)
        if has_portable:
            functions[SIGNATURE] = portable_function(model, size, weights=weights)
        module = tf.Module()
        module.weights = weights.variables
        module.labels = tf.saved_model.Asset(_write_labels(model, folder.parent))
        for name, function in functions.items():
            setattr(module, "serve" if name == "serving_default" else name, function)
        tf.saved_model.save(
            module,
            str(folder),
            signatures=functions,
            options=tf.saved_model.SaveOptions(experimental_custom_gradients=False),
        )
        if images is not None:
            name = Path(filepath).absolute().parent.name
            write_warmup(folder, warmup_records(model, name, images, spec, size))
        signatures = describe_saved_model(folder)
    return f"{os.fspath(filepath)} is written. Signatures:\n{signatures}"


def _check_custom_ops(custom_ops: bool, size) -> None:
    if not custom_ops:
        return
    if size is not None:
        raise ValueError(
            "size is that of the signature 'portable', which custom_ops=True leaves out: other "
            "formats have none of these ops. Export without the one or the other."
        )
    try:
        load(required=True)
    except OpsUnavailableError as error:
        raise ValueError(f"custom_ops=True is not possible here. {error}") from error


def _write_labels(model: keras.Model, folder: Path) -> str:
    path = folder / LABELS.name
    labels = model_labels(model)
    path.write_text(json.dumps(labels, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return str(path)
