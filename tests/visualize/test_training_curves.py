import sys

import numpy as np
import pytest
from PIL import Image

from mrcnn_tf.visualize import training_curves
from mrcnn_tf.visualize.training_curves import _columns

HISTORY = {
    "loss": [2.0, 1.5, 1.2, 1.0, 0.9],
    "mask_loss": [0.7, 0.6, 0.5, 0.45, 0.4],
    "val_loss": [2.1, 1.7, 1.4, 1.3, 1.3],
    "val_mask_ap": [0.1, 0.3, 0.4],
}


def test_a_history_becomes_a_picture(tmp_path):
    pytest.importorskip("matplotlib")
    path = training_curves(HISTORY, tmp_path / "curves.png")
    assert [p.name for p in tmp_path.iterdir()] == ["curves.png"]
    both = Image.open(path)
    assert np.asarray(both.convert("L")).std() > 5
    losses = {name: values for name, values in HISTORY.items() if "ap" not in name}
    alone = Image.open(training_curves(losses, tmp_path / "losses.png"))
    assert both.width == 2 * alone.width


def test_figures_that_are_not_measured_in_every_epoch(tmp_path):
    assert _columns(HISTORY)["val_mask_ap"] == {2: 0.1, 4: 0.3, 5: 0.4}
    log = tmp_path / "log.csv"
    log.write_text("epoch,loss,val_mask_ap\n0,2.0,\n1,1.5,0.25\n2,1.25,NA\n")
    assert _columns(log) == {"loss": {1: 2.0, 2: 1.5, 3: 1.25}, "val_mask_ap": {2: 0.25}}


def test_errors_are_clear(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="training log not found: .*none.csv"):
        training_curves(tmp_path / "none.csv", tmp_path / "curves.png")
    with pytest.raises(ValueError, match=r"no loss among .*\['val_box_ap'\]"):
        training_curves({"val_box_ap": [0.1]}, tmp_path / "curves.png")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'mrcnn-tf\[plots\]'"):
        training_curves(HISTORY, tmp_path / "curves.png")
