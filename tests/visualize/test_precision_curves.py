import sys

import pytest
from PIL import Image

from mrcnn_tf.visualize import precision_curves

CURVES = {"0.50": [1.0] * 80 + [0.5] * 21, "mean": [0.9] * 50 + [0.0] * 51}


def test_one_panel_a_kind(tmp_path):
    pytest.importorskip("matplotlib")
    one = Image.open(precision_curves({"box": CURVES, "mask": {}}, tmp_path / "one.png"))
    two = Image.open(precision_curves({"box": CURVES, "keypoint": CURVES}, tmp_path / "two.png"))
    assert two.width == 2 * one.width and len(list(tmp_path.iterdir())) == 2


def test_errors_are_clear(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="no precision-recall curve"):
        precision_curves({"mask": {}}, tmp_path / "none.png")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'mrcnn-tf\[plots\]'"):
        precision_curves({"box": CURVES}, tmp_path / "none.png")
