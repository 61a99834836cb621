"""`mrcnn-tf benchmark runtimes`: its rows and table, of a tiny model."""

import json
import sys

import pytest

from mrcnn_tf.cli.main import main
from mrcnn_tf.models import MaskRCNN


@pytest.mark.slow  # it exports
def test_rows_of_what_is_installed_and_of_what_is_not(monkeypatch, tmp_path, capsys):
    model = MaskRCNN(
        "resnet18",
        num_classes=2,
        mask=False,
        image_size=(96, 96),
        fpn_channels=16,
        rpn_pre_nms_top_n=(16, 16),
        rpn_post_nms_top_n=(8, 8),
        box_fc=(8,),
        sampling_ratio=1,
        max_detections=4,
    )
    model.save(tmp_path / "m.keras")
    monkeypatch.setitem(sys.modules, "openvino", None)
    options = ["--runtimes", "tensorflow", "openvino", "--rounds", "2", "--size", "96", "128"]
    rows = tmp_path / "rows.json"
    arguments = ["benchmark", "runtimes", str(tmp_path / "m.keras"), *options]
    assert main([*arguments, "--json", str(rows)]) == 0
    printed = capsys.readouterr().out
    assert "1 x 96 x 128" in printed and "openvino" in printed

    compiled, portable, missing = json.loads(rows.read_text())
    assert compiled["runtime"] == "tensorflow, compiled ops" and compiled["ratio"] == 1
    assert portable["runtime"] == "tensorflow" and portable["size"] == [96, 128]
    assert portable["ms"] > 0 and portable["ratio"] == portable["ms"] / compiled["ms"]
    assert portable["detections"] == compiled["detections"] and portable["left_out"] is None
    assert missing["runtime"] == "openvino" and missing["ms"] is None
    assert "mrcnn-tf[openvino]" in missing["left_out"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["runtimes"], "benchmark runtimes needs a model"),
        (
            ["runtimes", "m.keras", "--runtimes", "torch"],
            "no such runtime: torch; there are tensor",
        ),
        (["runtimes", "m.keras", "--rounds", "0"], "rounds must be positive, got 0"),
        (["runtimes", "m.keras", "--backbone", "resnet50"], "--backbone is no option of benchmark"),
        (["ops", "m.keras"], "MODEL is no option of benchmark ops"),
    ],
)
def test_mistakes_are_told(arguments, message, capsys):
    assert main(["benchmark", *arguments]) == 2
    assert message in capsys.readouterr().err
