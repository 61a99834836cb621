"""Encoded images in a graph: decoded, turned upright and resized, a batch of different sizes."""

import tensorflow as tf

from mrcnn_tf.export.stack_padded import stack_padded
from mrcnn_tf.ops import RESIZE_METHODS, resize_image

# How files of the formats begin that TensorFlow's `decode_image` reads beside JPEG.
_BEGINNINGS = (b"\x89PN", b"GIF", b"BM", b"RIF")
_JPEG = b"\xff\xd8\xff"


def read_batch(
    contents: tf.Tensor, image_size: tuple[int, int], method: str
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Images as the model takes them, from the bytes of their files.

    Args:
        contents: `[B]` strings.
        image_size: short and long side, see `resized_shape`.
        method: see `resize_image`.

    Returns:
        Resized images `[B, h, w, 3]`, padded with zeros at the bottom and on the right; their sizes
        `[B, 2]` int32, and the sizes `[B, 2]` of the images as they are, upright.

    Raises:
        tf.errors.InvalidArgumentError: at run time, for bytes that are no image; the message
            tells which of the batch.
    """

    def read(row):
        image = decode_upright(contents[row], row)
        resized = resize_image(image, *image_size, method)
        return resized, tf.concat([tf.shape(resized)[:2], tf.shape(image)[:2]], axis=0)

    spec = tf.TensorSpec([None, None, 3], RESIZE_METHODS[method])
    images, sizes = stack_padded(read, tf.size(contents), spec, numbers=4)
    return images, sizes[:, :2], sizes[:, 2:]


def decode_upright(content: tf.Tensor, row: tf.Tensor | int = 0) -> tf.Tensor:
    """The pixels of an image file as `Predictor` reads them, uint8 `[H, W, 3]`.

    JPEG, with the accurate inverse DCT, is turned upright as its EXIF entry says. Other formats are
    those of `tf.io.decode_image`: PNG, BMP, the first frame of a GIF, and WebP where TensorFlow
    has it. Grey, palette and CMYK become RGB, alpha is dropped.

    Args:
        content: the bytes of the file, a scalar string.
        row: what the error message calls the image.

    Raises:
        tf.errors.InvalidArgumentError: at run time, for anything else.
    """
    beginning = tf.strings.substr(content, 0, 3)
    is_jpeg = tf.equal(beginning, _JPEG)
    others = [tf.equal(tf.strings.substr(content, 0, len(start)), start) for start in _BEGINNINGS]
    check = tf.debugging.Assert(
        tf.reduce_any([is_jpeg, *others]),
        [
            "image_bytes: image",
            row,
            "of the batch is not the content of a JPEG, PNG, GIF, BMP or WebP file; it has",
            tf.strings.length(content),
            "bytes. Send the file as it is, in JSON as base64.",
        ],
    )
    with tf.control_dependencies([check]):
        content = tf.identity(content)

    def jpeg():
        image = tf.io.decode_jpeg(content, channels=3, dct_method="INTEGER_ACCURATE")
        return _upright(image, exif_orientation(content))

    def other():
        return tf.io.decode_image(content, channels=3, expand_animations=False)

    image = tf.cond(is_jpeg, jpeg, other)
    image.set_shape([None, None, 3])
    return image


def exif_orientation(content: tf.Tensor) -> tf.Tensor:
    """The EXIF orientation of a JPEG file, 1 to 8; 1 if it has none.

    Source: the segments of JPEG, ITU-T T.81 annex B; EXIF 2.3, section 4.
    """
    data = tf.io.decode_raw(content, tf.uint8)

    def byte(at):
        last = tf.size(data) - 1
        value = tf.cast(tf.gather(data, tf.clip_by_value(at, 0, last)), tf.int32)
        return tf.where((at >= 0) & (at <= last), value, 0)

    def number(at, size, is_little):
        parts = [byte(at + i) for i in range(size)]
        little = sum(part * 256**i for i, part in enumerate(parts))
        big = sum(part * 256**i for i, part in enumerate(reversed(parts)))
        return tf.where(is_little, little, big)

    def is_exif(at):
        return (byte(at + 1) == 0xE1) & (number(at + 4, 4, False) == int.from_bytes(b"Exif", "big"))

    def is_other_segment(at):
        # Behind 0xDA come the pixels; what is no marker at all ends the walk, too.
        return (byte(at) == 0xFF) & (byte(at + 1) != 0xDA) & ~is_exif(at)

    at = tf.while_loop(
        is_other_segment, lambda at: [at + 2 + number(at + 2, 2, False)], [tf.constant(2)]
    )[0]
    tiff = at + 10
    is_little = byte(tiff) == ord("I")
    directory = tiff + number(tiff + 4, 4, is_little)
    entries = directory + 2 + 12 * tf.range(number(directory, 2, is_little))
    tags = number(entries, 2, is_little)
    values = tf.where(tags == 0x0112, number(entries + 8, 2, is_little), 0)
    value = tf.reduce_max(tf.concat([[0], values], axis=0))
    return tf.where(is_exif(at) & (value >= 1) & (value <= 8), value, 1)


def _upright(image, orientation):
    def is_one_of(*values):
        return tf.reduce_any(orientation == tf.constant(values))

    order = tf.where(orientation >= 5, tf.constant([1, 0, 2]), tf.constant([0, 1, 2]))
    down = tf.where(is_one_of(3, 4, 7, 8), -1, 1)
    right = tf.where(is_one_of(2, 3, 6, 7), -1, 1)
    return tf.transpose(image, order)[::down, ::right]
