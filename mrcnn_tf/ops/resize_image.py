"""Resizing of images to the size that the model takes."""

import tensorflow as tf

from mrcnn_tf.ops.shapes import check_rank, dimensions


def resized_shape(
    height: int | tf.Tensor,
    width: int | tf.Tensor,
    short_side: int | tf.Tensor,
    long_side: int | tf.Tensor,
) -> tuple[int | tf.Tensor, int | tf.Tensor]:
    """The size of an image whose short side becomes `short_side`, or its long side `long_side`.

    The smaller of the two scales is taken, so that no side is above its limit, and the aspect ratio
    is kept to the nearest pixel. With 800 and 1333, 480 x 640 becomes 800 x 1067 and 480 x 1000
    becomes 640 x 1333. Whole numbers throughout: Python and TensorFlow agree to the pixel.

    Args:
        height: in pixels, a Python int or an integer tensor of any shape.
        width: likewise.
        short_side: what the short side becomes.
        long_side: what the long side may not exceed.

    Returns:
        New height and width, at least 1: ints if all arguments are, else int32 tensors.

    Source: Detectron2's `ResizeShortestEdge`.

    Example:

    >>> resized_shape(480, 640, 800, 1333)
    (800, 1067)
    """
    if not any(tf.is_tensor(value) for value in (height, width, short_side, long_side)):
        height, width = int(height), int(width)
        numerator, denominator = short_side, min(height, width)
        if max(height, width) * numerator > long_side * denominator:
            numerator, denominator = long_side, max(height, width)
        return (
            max(1, (2 * height * numerator + denominator) // (2 * denominator)),
            max(1, (2 * width * numerator + denominator) // (2 * denominator)),
        )
    height, width, short_side, long_side = (
        tf.cast(value, tf.int64) for value in (height, width, short_side, long_side)
    )
    shorter, longer = tf.minimum(height, width), tf.maximum(height, width)
    by_long = longer * short_side > long_side * shorter
    numerator = tf.where(by_long, long_side, short_side)
    denominator = tf.where(by_long, longer, shorter)
    new_height = (2 * height * numerator + denominator) // (2 * denominator)
    new_width = (2 * width * numerator + denominator) // (2 * denominator)
    return (
        tf.cast(tf.maximum(new_height, 1), tf.int32),
        tf.cast(tf.maximum(new_width, 1), tf.int32),
    )


def resize_image(
    image: tf.Tensor,  # [H, W, 3] or [B, H, W, 3]
    short_side: int | tf.Tensor,
    long_side: int | tf.Tensor,
) -> tf.Tensor:
    """Resizes an image bilinearly to `resized_shape`, averaging over all pixels when it shrinks.

    Args:
        image: `[H, W, 3]` or `[B, H, W, 3]`, uint8, or float in 0..255.
        short_side: see `resized_shape`.
        long_side: see `resized_shape`.

    Returns:
        `[h, w, 3]` or `[B, h, w, 3]` uint8, rounded to nearest.

    Source: the sampling of Pillow's `Image.resize(..., BILINEAR)`, which Detectron2 uses.

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
    size = resized_shape(height, width, short_side, long_side)
    resized = tf.image.resize(image, size, method="bilinear", antialias=True)
    return tf.cast(resized + 0.5, tf.uint8)
