import numpy as np
import pytest
from PIL import Image

from mrcnn_tf.data.image_files import ImageError, image_size, is_rotated_by_exif, read_image
from tests.data.coco_folder import photo

SMOOTH = np.linspace(0, 255, 24 * 32 * 3).reshape(24, 32, 3).astype(np.uint8)


@pytest.mark.parametrize("mode", ["RGB", "L", "LA", "1", "RGBA", "P"])
def test_png_of_every_mode_becomes_rgb(tmp_path, mode):
    image = Image.fromarray(photo(24, 32)).convert(mode)
    image.save(tmp_path / "a.png")
    reference = image.convert("L" if mode == "LA" else mode).convert("RGB")
    read = read_image(tmp_path / "a.png")
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, np.asarray(reference))


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_jpeg_pixels_equal_pillows(tmp_path, mode):
    Image.fromarray(photo(24, 32)).convert(mode).save(tmp_path / "a.jpg")
    reference = np.asarray(Image.open(tmp_path / "a.jpg").convert("RGB"))
    np.testing.assert_array_equal(read_image(tmp_path / "a.jpg"), reference)


def test_png_of_16_bits_keeps_the_upper_ones(tmp_path):
    values = np.arange(24 * 32, dtype=np.uint16).reshape(24, 32) * 85
    Image.fromarray(values).save(tmp_path / "a.png")
    expected = (values >> 8).astype(np.uint8)[..., None].repeat(3, axis=-1)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), expected)


@pytest.mark.parametrize("name", ["a.tif", "a.bmp", "a.webp"])
def test_other_formats(tmp_path, name):
    Image.fromarray(SMOOTH).save(tmp_path / name, lossless=True)
    np.testing.assert_array_equal(read_image(tmp_path / name), SMOOTH)


def test_exif_rotation_is_not_applied(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(SMOOTH).save(tmp_path / "turned.jpg", exif=exif)
    Image.fromarray(SMOOTH).save(tmp_path / "plain.jpg")
    assert read_image(tmp_path / "turned.jpg").shape == (24, 32, 3)
    assert image_size(tmp_path / "turned.jpg") == (24, 32)
    assert is_rotated_by_exif(tmp_path / "turned.jpg")
    assert not is_rotated_by_exif(tmp_path / "plain.jpg")


def test_unusable_files_are_named(tmp_path):
    Image.fromarray(photo(64, 64)).save(tmp_path / "whole.jpg")
    Image.fromarray(photo(64, 64)).save(tmp_path / "whole.png")
    for name in ("jpg", "png"):
        content = (tmp_path / f"whole.{name}").read_bytes()
        (tmp_path / f"half.{name}").write_bytes(content[: len(content) // 2])
        with pytest.raises(ImageError, match=rf"half\.{name} cannot be decoded"):
            read_image(tmp_path / f"half.{name}")
    (tmp_path / "empty.jpg").write_bytes(b"")
    with pytest.raises(ImageError, match=r"empty\.jpg cannot be decoded: it is empty"):
        read_image(tmp_path / "empty.jpg")
    (tmp_path / "text.png").write_text("no image at all")
    with pytest.raises(ImageError, match=r"text\.png cannot be decoded: Unknown image"):
        read_image(tmp_path / "text.png")
    with pytest.raises(ImageError, match=r"absent\.png cannot be read: No such file"):
        read_image(tmp_path / "absent.png")
    Image.fromarray(photo(8, 8)[..., 0].astype(np.uint16) * 200).save(tmp_path / "deep.tif")
    with pytest.raises(ImageError, match=r"deep\.tif has pixels of type I;16.*convert it to 8"):
        read_image(tmp_path / "deep.tif")
