"""Reading image files as RGB arrays."""

from __future__ import annotations

import io
import os

import numpy as np

EXIF_ORIENTATION = 274


class ImageError(ValueError):
    """An image file that cannot be used; the message names the file."""


def read_image(path: str | os.PathLike) -> np.ndarray:
    """Reads an image file as RGB.

    JPEG, PNG, GIF (first frame), BMP and WebP are decoded by TensorFlow, anything else by Pillow.
    Greyscale, palette and CMYK images are converted to RGB and an alpha channel is dropped. A PNG
    of 16 bits keeps its upper 8. JPEG pixels equal Pillow's (the accurate inverse DCT), which
    torchvision and Detectron2 read with.

    The EXIF orientation is not applied: COCO's annotations, like pycocotools' masks, refer to the
    stored pixels. torchvision does the same; Detectron2 rotates.

    Args:
        path: the file.

    Returns:
        uint8 [H, W, 3].

    Raises:
        ImageError: the file is missing, is not an image, is damaged or has a pixel type that does
            not fit 8 bits.

    Example:

    >>> image = read_image("photo.jpg")
    """
    return decode_image(read_content(path), path)


def read_content(path: str | os.PathLike) -> bytes:
    """The bytes of an image file as they are; an `ImageError` if there are none to read."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise ImageError(f"image {path} cannot be read: {error.strerror or error}") from error


def decode_image(content: bytes, path: str | os.PathLike) -> np.ndarray:
    """Decodes the content of an image file to uint8 [H, W, 3]; `path` is for the error message."""
    import tensorflow as tf

    try:
        with tf.device("/CPU:0"):
            if content[:2] == b"\xff\xd8":
                image = tf.io.decode_jpeg(content, channels=3, dct_method="INTEGER_ACCURATE")
            else:
                image = tf.io.decode_image(content, channels=3, expand_animations=False)
        return image.numpy()
    except tf.errors.InvalidArgumentError as error:
        image = _decode_with_pillow(content, path)
        if image is None:
            reason = "it is empty" if not content else _first_line(error)
            raise ImageError(
                f"image {path} cannot be decoded: {reason}. Replace the file or remove its image "
                "from the annotations"
            ) from error
        return image


def image_size(path: str | os.PathLike) -> tuple[int, int]:
    """Height and width from the header of an image file, EXIF orientation not applied."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            return image.height, image.width
    except (OSError, UnidentifiedImageError) as error:
        raise ImageError(f"image {path} cannot be read: {error}") from error


def is_rotated_by_exif(path: str | os.PathLike) -> bool:
    """Whether the EXIF orientation of an image file swaps its height and width."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return image.getexif().get(EXIF_ORIENTATION) in (5, 6, 7, 8)
    except OSError:
        return False


def _decode_with_pillow(content: bytes, path: str | os.PathLike) -> np.ndarray | None:
    """The formats TensorFlow does not know (TIFF for one); None where Pillow fails as well."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.format in ("JPEG", "PNG", "GIF", "BMP"):
                return None  # known to TensorFlow, therefore damaged
            if image.mode.startswith("I") or image.mode == "F":
                raise ImageError(
                    f"image {path} has pixels of type {image.mode} (more than 8 bits); "
                    "convert it to 8 bits a channel"
                )
            return np.asarray(image.convert("RGB"))
    except (OSError, UnidentifiedImageError, SyntaxError):
        return None


def _first_line(error: Exception) -> str:
    message = str(error).split("device:CPU:0}} ")[-1]
    return message.split(" [Op:")[0].splitlines()[0]
