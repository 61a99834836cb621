"""`mrcnn-tf benchmark runtimes`: its rows and table, of a tiny model."""

import importlib.util
import json
import sys
from types import SimpleNamespace

import pytest

from mrcnn_tf.benchmark.runtimes import CUSTOM_OPS, SIDES, _exported
from mrcnn_tf.cli.main import main
from mrcnn_tf.export.formats import FORMATS
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
    options = ["--runtimes", "tensorflow", "openvino", CUSTOM_OPS]
    options += ["--rounds", "2", "--size", "96", "128"]
    rows = tmp_path / "rows.json"
    arguments = ["benchmark", "runtimes", str(tmp_path / "m.keras"), *options]
    assert main([*arguments, "--json", str(rows)]) == 0
    printed = capsys.readouterr().out
    assert "1 x 96 x 128" in printed and "openvino" in printed

    compiled, portable, missing, litert = json.loads(rows.read_text())
    assert compiled["runtime"] == "tensorflow, compiled ops" and compiled["ratio"] == 1
    assert portable["runtime"] == "tensorflow" and portable["size"] == [96, 128]
    assert portable["ms"] > 0 and portable["ratio"] == portable["ms"] / compiled["ms"]
    assert portable["detections"] == compiled["detections"] and portable["left_out"] is None
    assert missing["runtime"] == "openvino" and missing["ms"] is None
    assert "mrcnn-tf[openvino]" in missing["left_out"]
    assert litert["runtime"] == "litert-custom-ops"
    if importlib.util.find_spec("ai_edge_litert"):
        assert litert["ms"] > 0 and litert["detections"] == compiled["detections"]
    else:
        assert "mrcnn-tf[litert]" in litert["left_out"]


def test_litert_has_a_file_of_builtins_and_one_of_compiled_ops(monkeypatch, tmp_path):
    written = []

    def write(model, path, **options):
        written.append((path.name, options))
        path.touch()

    monkeypatch.setitem(FORMATS, "litert", SimpleNamespace(load=lambda: write))
    names = ["litert", CUSTOM_OPS, "litert"]
    paths = [_exported(None, name, tmp_path, (96, 128)) for name in names]
    assert paths[0] == paths[2] != paths[1] and {path.suffix for path in paths} == {".tflite"}
    assert written == [
        (paths[0].name, {"size": (96, 128)}),
        (paths[1].name, {"size": (96, 128), "custom_ops": True}),
    ]
    assert SIDES[CUSTOM_OPS] is SIDES["litert"]


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
