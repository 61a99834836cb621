"""Resizing of images to the size that the model takes."""

import numpy as np
import tensorflow as tf
from PIL import Image

from mrcnn_tf.ops.shapes import check_rank, dimensions

# Each way of resizing, with the type of the pixels that it gives.
RESIZE_METHODS = {
    "antialias": tf.uint8,
    "torchvision": tf.float32,
    "detectron2": tf.uint8,
    "matterport": tf.uint8,
}


def resized_shape(
    height: int | tf.Tensor,
    width: int | tf.Tensor,
    short_side: int | tf.Tensor,
    long_side: int | tf.Tensor,
    method: str = "antialias",
) -> tuple[int | tf.Tensor, int | tf.Tensor]:
    """The size of an image whose short side becomes `short_side`, or its long side `long_side`.

    The smaller of the two scales is taken, so that no side is above its limit. With 800 and 1333,
    480 x 640 becomes 800 x 1067 and 480 x 1000 becomes 640 x 1333. Python and TensorFlow agree to
    the pixel.

    Args:
        height: in pixels, a Python int or an integer tensor of any shape.
        width: likewise.
        short_side: what the short side becomes.
        long_side: what the long side may not exceed.
        method: how the aspect ratio is rounded to pixels. `"antialias"` goes to the nearest one;
            `"detectron2"` likewise, with the error of its floating point, which decides where the
            two nearest are equally far; `"torchvision"` rounds down, so that 480 x 640 becomes
            800 x 1066 and, by its floating point, 398 x 640 becomes 799 x 1286. `"matterport"`
            rounds halves to even and does not shrink a short side: 900 x 1000 stays as it is.

    Returns:
        New height and width, at least 1: ints if all arguments are, else int32 tensors.

    Raises:
        ValueError: the method is not known.

    Source: Detectron2's `ResizeShortestEdge`; torchvision's `GeneralizedRCNNTransform`;
    Matterport's `resize_image`.

    Example:

    >>> resized_shape(480, 640, 800, 1333)
    (800, 1067)
    """
    check_method("method", method)
    values = (height, width, short_side, long_side)
    sides = {
        "antialias": _nearest,
        "torchvision": _truncated,
        "detectron2": _nearest_by_float,
        "matterport": _enlarged,
    }
    if any(tf.is_tensor(value) for value in values):
        kind = tf.int64 if method == "antialias" else tf.float64
        sides = sides[method](tf, *(tf.cast(value, kind) for value in values))
        return tuple(tf.maximum(tf.cast(side, tf.int32), 1) for side in sides)
    kind = int if method == "antialias" else float
    sides = sides[method](np, *(kind(value) for value in values))
    return tuple(max(int(side), 1) for side in sides)


def resize_image(
    image: tf.Tensor,  # [H, W, 3] or [B, H, W, 3]
    short_side: int | tf.Tensor,
    long_side: int | tf.Tensor,
    method: str = "antialias",
) -> tf.Tensor:
    """Resizes an image bilinearly to `resized_shape`.

    Args:
        image: `[H, W, 3]` or `[B, H, W, 3]`, uint8, or float in 0..255.
        short_side: see `resized_shape`.
        long_side: see `resized_shape`.
        method: `"antialias"` averages over all pixels when the image shrinks, and rounds once.
            `"torchvision"` takes the four nearest pixels whatever the scale, and does not round.
            `"detectron2"` averages and rounds after each axis; it is Pillow's own function except
            in a graph, where about one value in 300 comes out a level off. `"matterport"` takes the
            four nearest pixels, has black around the image and cuts fractions off.

    Returns:
        `[h, w, 3]` or `[B, h, w, 3]` uint8, or float32 of `"torchvision"`.

    Raises:
        ValueError: the method is not known, or the shape is none of an image.

    Source: Pillow's `Image.resize(..., BILINEAR)`, which Detectron2 uses; for `"torchvision"`
    PyTorch's `interpolate(..., mode="bilinear")`; for `"matterport"` scikit-image's
    `resize(..., order=1, mode="constant")`, which leaves some values that are whole numbers one
    level lower by the error of its floating point.

    Example:

    ```python
    import tensorflow as tf
    from mrcnn_tf.ops import resize_image

    resize_image(tf.zeros([480, 640, 3], tf.uint8), 800, 1333).shape  # [800, 1067, 3]
    ```
    """
    image = tf.convert_to_tensor(image)
    check_rank("image", image, 3, 4)
    height, width = dimensions(image)[-3:-1]
    new_height, new_width = resized_shape(height, width, short_side, long_side, method)
    if method == "torchvision":
        image = _interpolated(tf.cast(image, tf.float32), width, new_width, axis=-2)
        return _interpolated(image, height, new_height, axis=-3)
    if method == "matterport":
        image = _interpolated_in_black(tf.cast(image, tf.float64), width, new_width, axis=-2)
        image = _interpolated_in_black(image, height, new_height, axis=-3)
        return tf.cast(image + 1e-6, tf.uint8)  # a whole number may lack the last digit
    if method == "antialias":
        return _averaged(image, new_height, new_width)
    image = _rounded(tf.cast(image, tf.float32))
    if tf.executing_eagerly():
        return _by_pillow(image.numpy(), int(new_height), int(new_width))
    return _averaged(_averaged(image, height, new_width), new_height, new_width)


def check_method(argument: str, method: str) -> None:
    """Refuses a method that is none of `RESIZE_METHODS`, with the name of the argument.

    Raises:
        ValueError: it names those that are.
    """
    if method not in RESIZE_METHODS:
        raise ValueError(f"{argument} is one of {list(RESIZE_METHODS)}; got {method!r}.")


def _nearest(library, height, width, short_side, long_side):
    """Whole numbers throughout; `library` is NumPy or TensorFlow, here and below."""
    shorter, longer = library.minimum(height, width), library.maximum(height, width)
    by_long = longer * short_side > long_side * shorter
    numerator = library.where(by_long, long_side, short_side)
    denominator = library.where(by_long, longer, shorter)
    return (
        (2 * height * numerator + denominator) // (2 * denominator),
        (2 * width * numerator + denominator) // (2 * denominator),
    )


def _truncated(library, height, width, short_side, long_side):
    scale = library.minimum(
        short_side / library.minimum(height, width), long_side / library.maximum(height, width)
    )
    return height * scale, width * scale


def _nearest_by_float(library, height, width, short_side, long_side):
    scale = short_side / library.minimum(height, width)
    is_wide = height < width
    new_height = library.where(is_wide, short_side, scale * height)
    new_width = library.where(is_wide, scale * width, short_side)
    longest = library.maximum(new_height, new_width)
    shrink = library.where(longest > long_side, long_side / longest, 1.0)
    return new_height * shrink + 0.5, new_width * shrink + 0.5


def _enlarged(library, height, width, short_side, long_side):
    longer = library.maximum(height, width)
    scale = library.maximum(short_side / library.minimum(height, width), 1.0)
    is_too_long = library.round(longer * scale) > long_side
    scale = library.where(is_too_long, long_side / longer, scale)
    return library.round(height * scale), library.round(width * scale)


def _interpolated(image, size, new_size, axis: int):
    """Bilinear interpolation along one axis between the two nearest pixels."""
    scale = tf.cast(size, tf.float32) / tf.cast(new_size, tf.float32)
    centres = tf.range(tf.cast(new_size, tf.float64)) + 0.5
    # PyTorch's fused multiply-add rounds once; twice would move a pixel by a hundredth of a level.
    at = tf.cast(tf.cast(scale, tf.float64) * centres - 0.5, tf.float32)
    at = tf.clip_by_value(at, 0.0, tf.cast(size - 1, tf.float32))
    low = tf.cast(at, tf.int32)
    high = tf.minimum(low + 1, size - 1)
    share = tf.reshape(at - tf.cast(low, tf.float32), [-1, *[1] * (-1 - axis)])
    return (
        tf.gather(image, low, axis=axis) * (1.0 - share) + tf.gather(image, high, axis=axis) * share
    )


def _interpolated_in_black(image, size, new_size, axis: int):
    """The same in double precision, with a pixel of black on either side of the image."""
    scale = tf.cast(size, tf.float64) / tf.cast(new_size, tf.float64)
    at = (tf.range(tf.cast(new_size, tf.float64)) + 0.5) * scale - 0.5
    low = tf.floor(at)
    share = tf.reshape(at - low, [-1, *[1] * (-1 - axis)])
    low = tf.cast(low, tf.int32) + 1
    paddings = [[0, 0]] * image.shape.rank
    paddings[axis] = [1, 1]
    image = tf.pad(image, paddings)
    upper = tf.gather(image, low + 1, axis=axis)
    return tf.gather(image, low, axis=axis) * (1.0 - share) + upper * share


def _averaged(image, height, width):
    resized = tf.image.resize(image, [height, width], method="bilinear", antialias=True)
    return _rounded(resized)


def _rounded(image):
    return tf.cast(image + 0.5, tf.uint8)


def _by_pillow(image: np.ndarray, height: int, width: int) -> tf.Tensor:
    if image.ndim == 4:
        return tf.stack([_by_pillow(one, height, width) for one in image])
    resized = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
    return tf.convert_to_tensor(np.asarray(resized))
