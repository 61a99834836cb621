import numpy as np
import pytest
from PIL import Image

from mrcnn_tf.visualize import contact_sheet


def test_pictures_are_in_rows_in_the_middle_of_their_fields():
    colors = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    sizes = [(30, 20), (10, 20), (30, 40)]
    pictures = [Image.new("RGB", s, c) for s, c in zip(sizes, colors, strict=True)]
    sheet = np.asarray(contact_sheet(pictures, columns=2, gap=5))
    assert sheet.shape == (5 + 2 * 45, 5 + 2 * 35, 3)
    corners = [(5, 25), (50, 25), (5, 50)]
    for (width, height), color, (x, y) in zip(sizes, colors, corners, strict=True):
        assert (sheet[y : y + height, x : x + width] == color).all()
        assert (sheet == color).all(axis=-1).sum() == width * height
    with_text = np.asarray(contact_sheet(pictures, ["a", "b", "c"], columns=2, gap=5))
    assert with_text.shape[0] > sheet.shape[0] and with_text.shape[1] == sheet.shape[1]
    assert (with_text[45:60].max(axis=-1) < 128).any()  # ink below the first row
    with pytest.raises(ValueError, match="as many captions, not 1"):
        contact_sheet(pictures, ["a"])
    with pytest.raises(ValueError, match="needs a picture"):
        contact_sheet([])
