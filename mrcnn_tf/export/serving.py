"""The functions of an exported model: the model itself, and what lies around it."""

import contextlib

import keras
import tensorflow as tf

from mrcnn_tf.boxes import rescale_boxes, rescale_points
from mrcnn_tf.export.image_bytes import read_batch
from mrcnn_tf.export.served_masks import with_masks
from mrcnn_tf.export.stored_weights import StoredWeights
from mrcnn_tf.ops import implementation, resize_image

SIGNATURES = ("serving_default", "serve_padded", "serve_images", "serve_bytes")


def serving_functions(
    model: keras.Model,
    images: tf.TensorSpec | None = None,
    masks: str = "boxes",
    ops: str = "plain",
    weights: StoredWeights | None = None,
) -> dict[str, tf.types.experimental.PolymorphicFunction]:
    """The functions behind the signatures of an exported model, the model traced anew.

    Args:
        model: a `MaskRCNN`.
        images: input of `serving_default` and `serve_padded`; default: any size, uint8.
        masks: see `with_masks`.
        ops: see `trace_model`.
        weights: likewise.

    Returns:
        dict of functions by the names in `SIGNATURES`.
    """
    any_size = images_spec()
    images = any_size if images is None else images
    # Concrete functions: saving traces every other kind of function again, and tracing a model
    # takes seconds. They take float32, which images of either type are turned into anyway.
    spec = tf.TensorSpec(any_size.shape, tf.float32, "images")
    detect = detect_any_size = trace_model(model, spec, ops, weights)
    if images.shape.as_list() != any_size.shape.as_list():
        spec = tf.TensorSpec(images.shape, tf.float32, "images")
        detect = trace_model(model, spec, ops, weights)
    image_sizes = tf.TensorSpec([images.shape[0], 2], tf.int32, name="image_sizes")
    image_bytes = tf.TensorSpec([None], tf.string, name="image_bytes")
    rescale = getattr(model, "rescale_boxes", rescale_boxes)

    def answer(detections, sizes):
        whole_pixels = getattr(model, "whole_pixel_masks", False)
        # The functions below are traced when they are saved, long after this one has returned.
        with implementation(ops):
            detections = with_masks(detections, sizes, masks, whole_pixels)
        return dict(sorted(detections.items()))

    def in_given_pixels(detections, sizes, given):
        moved = {"boxes": rescale(detections["boxes"], sizes, given)}
        if "keypoints" in detections:
            moved["keypoints"] = rescale_points(detections["keypoints"], sizes, given)
        return answer(detections | moved, given)

    @tf.function(input_signature=[images], autograph=False)
    def serving_default(images):
        sizes = full_sizes(images)
        return answer(detect(tf.cast(images, tf.float32), sizes), sizes)

    @tf.function(input_signature=[images, image_sizes], autograph=False)
    def serve_padded(images, image_sizes):
        return answer(detect(tf.cast(images, tf.float32), image_sizes), image_sizes)

    @tf.function(input_signature=[any_size], autograph=False)
    def serve_images(images):
        resized = resize_image(images, *model.image_size, model.image_resize)
        sizes = full_sizes(resized)
        detections = detect_any_size(tf.cast(resized, tf.float32), sizes)
        return in_given_pixels(detections, sizes, full_sizes(images))

    @tf.function(input_signature=[image_bytes], autograph=False)
    def serve_bytes(image_bytes):
        images, sizes, given = read_batch(image_bytes, model.image_size, model.image_resize)
        detections = detect_any_size(tf.cast(images, tf.float32), sizes)
        # The client has not seen the pixels: a photo lying on its side is turned upright.
        return in_given_pixels(detections, sizes, given) | {"image_sizes": given}

    functions = (serving_default, serve_padded, serve_images, serve_bytes)
    return dict(zip(SIGNATURES, functions, strict=True))


def trace_model(
    model: keras.Model,
    images: tf.TensorSpec,
    ops: str = "plain",
    weights: StoredWeights | None = None,
) -> tf.types.experimental.ConcreteFunction:
    """The model as a function of `images` and `image_sizes [B, 2]`.

    Args:
        model: a `MaskRCNN`.
        images: shape and dtype of the images; dimensions may be fixed, for converters.
        ops: `"plain"` for core TensorFlow ops alone, or `"compiled"`, see
            `mrcnn_tf.ops.implementation`.
        weights: the variables to read; default: the model's own.
    """

    def detect(images, image_sizes):
        with weights.used() if weights else contextlib.nullcontext():
            detections = model({"images": images, "image_sizes": image_sizes}, training=False)
        # Converters and C clients count outputs; sorted is the order of SavedModel signatures.
        return dict(sorted(detections.items()))

    image_sizes = tf.TensorSpec([images.shape[0], 2], tf.int32, name="image_sizes")
    # Nothing here branches on a tensor, and layers that do are converted by Keras.
    with implementation(ops):
        return tf.function(detect, autograph=False).get_concrete_function(images, image_sizes)


def full_sizes(images: tf.Tensor) -> tf.Tensor:
    """Height and width `[B, 2]` int32 of every image `[B, H, W, 3]` of a batch without padding."""
    shape = tf.shape(images)
    return tf.tile(shape[None, 1:3], [shape[0], 1])


def images_spec(input_signature=None) -> tf.TensorSpec:
    """The input `images` of the signatures; see `save_saved_model`."""
    spec = input_signature
    if isinstance(spec, dict):
        spec = list(spec.values()) if set(spec) == {"images"} else None
    if isinstance(spec, (list, tuple)):
        spec = spec[0] if len(spec) == 1 else None
    if input_signature is None:
        spec = tf.TensorSpec([None, None, None, 3], tf.uint8)
    shape = tf.TensorShape(getattr(spec, "shape", None))
    dtype = tf.as_dtype(getattr(spec, "dtype", None) or tf.uint8)
    if not shape.is_compatible_with([None, None, None, 3]) or shape.rank != 4:
        raise ValueError(
            f"input_signature={input_signature!r} must be one spec, of images "
            "[batch, height, width, 3]: tf.TensorSpec([None, None, None, 3], tf.uint8)."
        )
    if dtype not in (tf.uint8, tf.float32):
        raise ValueError(
            f"input_signature has dtype {dtype.name}; images are uint8, or float32 in 0..255."
        )
    return tf.TensorSpec(shape[:3] + [3], dtype, name="images")
