import argparse
import json
import sys

import keras
import pytest

from mrcnn_tf.cli.main import main
from mrcnn_tf.cli.verify import _report
from mrcnn_tf.data.shapes import generate
from mrcnn_tf.export.verify import Tolerances
from mrcnn_tf.models import MaskRCNN


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model, its export, and images."""
    keras.utils.set_random_seed(0)
    model = MaskRCNN(
        "resnet18",
        num_classes=2,
        image_size=(96, 96),
        fpn_channels=16,
        anchor_sizes=(16, 24, 32, 48, 64),
        rpn_pre_nms_top_n=(32, 32),
        rpn_post_nms_top_n=(16, 16),
        box_fc=(8,),
        mask_channels=8,
        mask_convs=1,
        sampling_ratio=1,
        max_detections=4,
    )
    folder = tmp_path_factory.mktemp("verify")
    model.save(folder / "m.keras")
    model.export(folder / "1", verbose=False)
    generate(folder / "scenes", 3, stem="val", image_size=128, progress=False)
    return folder


@pytest.fixture(autouse=True)
def without_openvino(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)


def verify(folder, *options):
    return main(["verify", str(folder / "1"), "--against", str(folder / "m.keras"), *options])


def test_an_export_agrees_with_its_model(folder, tmp_path, capsys):
    rows = tmp_path / "rows.json"
    scenes = folder / "scenes"
    annotations = str(scenes / "annotations" / "val.json")
    given = ["--images", str(scenes / "images"), "--annotations", annotations, "--limit", "2"]
    assert verify(folder, *given, "--json", str(rows)) == 0
    told = capsys.readouterr()
    assert "openvino is left out." in told.err and "mrcnn-tf[openvino]" in told.err
    assert f"{folder / '1'} in tensorflow agrees with {folder / 'm.keras'}" in told.out
    assert "mask IoU" in told.out and "box AP" in told.out and "joints" not in told.out
    [row] = json.loads(rows.read_text())
    assert row["runtime"] == "tensorflow" and row["agrees"] and row["images"] == 2
    assert row["expected"] == row["found"] == row["matched"] > 0 and row["ms"] > 0
    assert [image["image"] for image in row["per_image"]] == ["val_000000.png", "val_000001.png"]
    assert set(row["ap"]) == set(row["model_ap"]) == {"box_ap", "mask_ap"}


def test_what_differs_is_told_by_the_exit_code(capsys):
    row = {"runtime": "onnxruntime", "size": [96, 96], "images": 1, "expected": 4, "found": 4}
    row |= {"boxes_px": 0.01, "scores": 2e-4, "mask_iou": None, "joints_px": None, "ms": 2.5}
    row["images_of_other_number"] = 0
    args = argparse.Namespace(out="m.onnx", against="m.keras", json=None)
    assert _report(args, [dict(row)], Tolerances(scores=1e-3)) == 0
    assert "m.onnx in onnxruntime agrees with m.keras" in capsys.readouterr().out
    assert _report(args, [dict(row)], Tolerances()) == 1
    told = capsys.readouterr().out
    assert "m.onnx in onnxruntime DIFFERS from m.keras: scores 0.0002 > 0.0001" in told
    _report(args, [{**row, "expected": 0, "found": 0}], Tolerances())
    assert "The model finds nothing in these images" in capsys.readouterr().out


def test_what_does_not_fit(folder, tmp_path, capsys):
    for options, message in (
        (["--runtime", "openvino"], 'pip install "mrcnn-tf[openvino]"'),
        (["--runtime", "onnxruntime"], "'onnxruntime' does not run saved_model"),
        (["--limit", "0"], "--limit must be positive, got 0"),
        (["--annotations", "a.json"], "--annotations needs --images"),
        (["--images", str(tmp_path / "none")], "There is no folder"),
    ):
        assert verify(folder, *options) == 2
        assert message in capsys.readouterr().err
