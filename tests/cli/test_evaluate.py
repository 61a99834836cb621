import json

import pytest

from mrcnn_tf.cli.main import main
from tests.evaluation.fake_model import BrightRectangle, write_dataset


@pytest.fixture
def data(tmp_path, monkeypatch):
    folder = tmp_path / "data"
    (folder / "annotations").mkdir(parents=True)
    _, annotations = write_dataset(folder)
    annotations.rename(folder / "annotations" / "val.json")
    models = {"both.keras": BrightRectangle(), "boxes.keras": BrightRectangle(mask=False)}
    monkeypatch.setattr("mrcnn_tf.models.load", lambda path, compile: models[path])
    return folder


def test_figures_are_printed_and_written(data, tmp_path, capsys):
    file = tmp_path / "results" / "figures.json"
    arguments = ["evaluate", "both.keras", str(data), "--split", "val", "--batch-size", "2"]
    assert main([*arguments, "--json", str(file)]) == 0
    figures = json.loads(file.read_text())
    assert figures["images"] == 5
    assert figures["box_ap50"] == figures["mask_ap50"] == pytest.approx(1)
    assert 0.7 < figures["box_ap"] <= 1 and 0.7 < figures["mask_ap"] <= 1
    printed = capsys.readouterr().out
    assert "val: 5 images, at most 3 detections" in printed
    row = next(line for line in printed.splitlines() if "AP50" in line)
    assert row.count("100.0") == 2

    assert main(["evaluate", "boxes.keras", str(data), "--split", "val"]) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if "AP50" in line)
    assert row.count("100.0") == 1


def test_joints(data, tmp_path, monkeypatch, capsys):
    """Of `instances_val.json`, with joints from `person_keypoints_val.json`."""
    folder = data / "annotations"
    (folder / "val.json").rename(folder / "instances_val.json")
    write_dataset(data, keypoints=True)[1].rename(folder / "person_keypoints_val.json")
    monkeypatch.setattr("mrcnn_tf.models.load", lambda *_, **__: BrightRectangle(keypoints=2))
    file = tmp_path / "figures.json"
    arguments = ["evaluate", "joints.keras", str(data), "--split", "instances_val"]
    arguments += ["--json", str(file)]
    assert main([*arguments, "--keypoint-sigmas", "0.2,0.2"]) == 0
    assert json.loads(file.read_text())["keypoint_ap50"] == pytest.approx(1)
    printed = capsys.readouterr().out
    assert "keypoint" in printed
    assert next(line for line in printed.splitlines() if "AP50" in line).count("100.0") == 3
    assert main(arguments) == 2
    assert "needs keypoint_sigmas, 2 numbers" in capsys.readouterr().err


def test_what_cannot_be_evaluated(data, capsys):
    base = ["evaluate", "both.keras", str(data), "--split"]
    assert main([*base, "test"]) == 2
    assert "test.json does not exist" in capsys.readouterr().err
    assert main([*base, "val", "--max-detections", "4"]) == 2
    assert "MaskRCNN(max_detections=3)" in capsys.readouterr().err
