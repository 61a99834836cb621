import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mrcnn_tf.export.image_bytes import decode_upright, exif_orientation, read_batch
from mrcnn_tf.models.predictor import read_upright_image
from mrcnn_tf.ops import resize_image

from .conftest import blocks


@tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
def decode(content):
    return decode_upright(content, 7)


def encoded(image, format, **settings):
    file = io.BytesIO()
    Image.fromarray(image).convert(settings.pop("mode", "RGB")).save(file, format, **settings)
    return file.getvalue()


def with_orientation(value, byte_order="<"):
    exif = Image.Exif()
    exif.endian = byte_order
    exif[0x010F] = "a camera"
    exif[0x0112] = value
    return exif.tobytes()


@pytest.mark.parametrize(
    "format, settings",
    [
        ("JPEG", {"quality": 90}),
        ("JPEG", {"mode": "L"}),
        ("JPEG", {"mode": "CMYK"}),
        ("PNG", {}),
        ("PNG", {"mode": "RGBA"}),
        ("PNG", {"mode": "P"}),
        ("BMP", {}),
        ("GIF", {}),
    ],
)
def test_pixels_are_those_that_the_predictor_reads(tmp_path, format, settings):
    path = tmp_path / "image"
    path.write_bytes(encoded(blocks(1, 40, 60)[0], format, **settings))
    expected = read_upright_image(path)
    image = decode(path.read_bytes()).numpy()
    assert image.shape == expected.shape == (40, 60, 3)
    # The two libraries round CMYK differently.
    limit = 1 if settings.get("mode") == "CMYK" else 0
    assert np.abs(image.astype(int) - expected).max() <= limit


@pytest.mark.parametrize("orientation", range(10))
def test_a_jpeg_is_turned_upright_as_the_predictor_does(tmp_path, orientation):
    path = tmp_path / "photo.jpg"
    exif = with_orientation(orientation, "<>"[orientation % 2])
    path.write_bytes(encoded(blocks(1, 40, 60)[0], "JPEG", exif=exif))
    np.testing.assert_array_equal(decode(path.read_bytes()), read_upright_image(path))
    shape = (60, 40, 3) if 5 <= orientation <= 8 else (40, 60, 3)
    assert decode(path.read_bytes()).shape == shape


def test_exif_that_is_cut_short_or_absurd_is_none():
    read = tf.function(exif_orientation, input_signature=[tf.TensorSpec([], tf.string)])
    content = encoded(blocks(1, 16, 16)[0], "JPEG", exif=with_orientation(6))
    assert read(content) == 6
    start = content.index(b"Exif") + 6
    for end in range(2, start + 40):
        assert int(read(content[:end])) in (1, 6)
    offset = content[: start + 4] + b"\xff\xff\xff\x7f" + content[start + 8 :]
    assert read(offset) == 1
    assert read(encoded(blocks(1, 16, 16)[0], "JPEG")) == 1


def test_bytes_that_are_no_image():
    with pytest.raises(tf.errors.InvalidArgumentError, match="image.*7.*not the content of a JPEG"):
        decode(b"hello")
    with pytest.raises(tf.errors.InvalidArgumentError, match="it has.*0.*bytes"):
        decode(b"")
    for format in ("JPEG", "PNG"):
        content = encoded(blocks(1, 64, 64)[0], format)
        with pytest.raises(tf.errors.InvalidArgumentError, match="JPEG|PNG"):
            decode(content[: len(content) // 4])


def test_a_batch_of_different_sizes():
    images = [blocks(1, *size)[0] for size in ((150, 110), (40, 200), (96, 96))]
    contents = [encoded(image, "PNG") for image in images]
    function = tf.function(
        lambda contents: read_batch(contents, (64, 100), "antialias"),
        input_signature=[tf.TensorSpec([None], tf.string)],
        autograph=False,
    )
    batch, sizes, given = function(tf.constant(contents))
    np.testing.assert_array_equal(given, [image.shape[:2] for image in images])
    assert batch.dtype == tf.uint8 and batch.shape[1:3] == tuple(tf.reduce_max(sizes, axis=0))
    for row, image, size in zip(batch.numpy(), images, sizes.numpy(), strict=True):
        expected = resize_image(image, 64, 100).numpy()
        assert expected.shape[:2] == tuple(size)
        np.testing.assert_array_equal(row[: size[0], : size[1]], expected)
        assert not row[size[0] :].any() and not row[:, size[1] :].any()
