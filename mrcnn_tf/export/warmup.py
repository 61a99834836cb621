"""Requests that TF Serving runs after loading a model and before it says that it is ready."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from mrcnn_tf.export.image_bytes import decode_upright
from mrcnn_tf.ops import resize_image

WARMUP_FILE = Path("assets.extra", "tf_serving_warmup_requests")
# Images at a time; the batching configuration in the documentation allows the same.
WARMUP_BATCHES = (1, 2, 4)
# TF Serving refuses a file with more.
_MAX_RECORDS = 1000


def read_warmup(warmup: bool | Sequence[str | os.PathLike]) -> list[bytes] | None:
    """The contents of the image files, `[]` for grey images, or None for no warm-up.

    Raises:
        FileNotFoundError: there is no such file.
        ModuleNotFoundError: there is no tensorflow-serving-api.
        ValueError: a file is no image, or there are too many.
    """
    if warmup is False or warmup is None:
        return None
    _messages()
    paths = [] if warmup is True else [Path(path) for path in warmup]
    if len(paths) > _MAX_RECORDS // 8:
        raise ValueError(
            f"warmup has {len(paths)} images; TF Serving runs {_MAX_RECORDS} requests at most, "
            f"which {_MAX_RECORDS // 8} images make."
        )
    contents = []
    for path in paths:
        if not path.is_file():
            raise FileNotFoundError(f"warmup: there is no image file {path}")
        contents.append(path.read_bytes())
        try:
            decode_upright(tf.constant(contents[-1]))
        except tf.errors.InvalidArgumentError as error:
            raise ValueError(
                f"warmup: {path} is no image that serve_bytes can decode: {error.message}"
            ) from error
    return contents


def warmup_records(
    model: keras.Model,
    name: str,
    contents: list[bytes],
    images: tf.TensorSpec,
    size: tuple[int, int] | None,
) -> Iterator:
    """Requests for every signature, of 1, 2 and 4 images where the batch is open.

    `serve_bytes` gets every image, alone and in batches; `serve_images` every image alone and the
    first one in batches; `serving_default` and `serve_padded` likewise, resized as the model takes
    them; `portable` the first one. Without images they are grey and of the model's `image_size`,
    which takes next to no space and runs all that a photo does.

    Args:
        model: a `MaskRCNN`.
        name: of the served model.
        contents: of image files.
        images: input of `serving_default` and `serve_padded`.
        size: of the canvas of `portable`, or None if there is none.

    Yields:
        `PredictionLog`s.
    """
    if contents:
        photos = [decode_upright(tf.constant(content)).numpy() for content in contents]
    else:
        photos = [np.full([*model.image_size, 3], 127, np.uint8)]
        contents = [tf.io.encode_jpeg(photos[0]).numpy()]
    resized = [
        np.asarray(resize_image(photo, *model.image_size, model.image_resize)) for photo in photos
    ]

    def request(signature, **inputs):
        prediction_log, predict = _messages()
        log = prediction_log.PredictionLog()
        log.predict_log.request.CopyFrom(predict.PredictRequest())
        log.predict_log.request.model_spec.name = name
        log.predict_log.request.model_spec.signature_name = signature
        for key, value in inputs.items():
            log.predict_log.request.inputs[key].CopyFrom(value)
        return log

    for batch in WARMUP_BATCHES:
        for start in range(0, len(contents), batch):
            rows = [contents[(start + i) % len(contents)] for i in range(batch)]
            yield request("serve_bytes", image_bytes=tf.make_tensor_proto(rows, tf.string))
    for photo, batch in _alone_and_repeated(photos, WARMUP_BATCHES):
        yield request("serve_images", images=_repeated(photo, batch))
    batches = WARMUP_BATCHES if images.shape[0] is None else (images.shape[0],)
    for photo, batch in _alone_and_repeated(resized, batches):
        canvas, height_width = _on_canvas(photo, images.shape[1:3])
        pixels = _repeated(canvas.astype(images.dtype.as_numpy_dtype), batch)
        sizes = tf.make_tensor_proto([height_width] * batch, tf.int32)
        yield request("serving_default", images=pixels)
        yield request("serve_padded", images=pixels, image_sizes=sizes)
    if size is not None:
        canvas, height_width = _on_canvas(photos[0], size)
        sizes = tf.make_tensor_proto([height_width], tf.int32)
        yield request("portable", images=_repeated(canvas, 1), image_sizes=sizes)


def write_warmup(folder: Path, records: Iterator) -> None:
    """Write requests to where TF Serving looks for them in a SavedModel."""
    path = folder / WARMUP_FILE
    path.parent.mkdir()
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record.SerializeToString())


def _alone_and_repeated(photos, batches):
    for photo in photos:
        yield photo, batches[0]
    for batch in batches[1:]:
        yield photos[0], batch


def _on_canvas(photo, size) -> tuple[np.ndarray, list[int]]:
    """As much of an image as a canvas of a size has room for; None for the image's own side."""
    height, width = (
        own if side is None else side for own, side in zip(photo.shape, size, strict=False)
    )
    canvas = np.full([height, width, 3], photo[-1, -1], photo.dtype)
    part = photo[:height, :width]
    canvas[: part.shape[0], : part.shape[1]] = part
    return canvas, list(part.shape[:2])


def _repeated(photo: np.ndarray, batch: int):
    shape = [batch, *photo.shape]
    if photo.min() == photo.max():  # one value stands for all
        return tf.make_tensor_proto(photo.flat[0].item(), tf.as_dtype(photo.dtype), shape)
    return tf.make_tensor_proto(np.broadcast_to(photo, shape))


def _messages():
    try:
        from tensorflow_serving.apis import predict_pb2, prediction_log_pb2
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "warmup writes TF Serving's own messages, and there is no tensorflow-serving-api: "
            "pip install 'mrcnn-tf[serving]'"
        ) from error
    return prediction_log_pb2, predict_pb2
