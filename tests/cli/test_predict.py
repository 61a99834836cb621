import json
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as mask_utils

from mrcnn_tf.cli.main import main
from mrcnn_tf.cli.predict import image_files, image_ids, output_names
from tests.evaluation.fake_model import BOXES, SIZES, BrightRectangle, write_dataset


@pytest.fixture
def images(tmp_path, monkeypatch):
    folder = tmp_path / "images"
    folder.mkdir()
    write_dataset(folder)
    models = {"both.keras": BrightRectangle(), "boxes.keras": BrightRectangle(mask=False)}
    monkeypatch.setattr("mrcnn_tf.models.load", lambda path, compile: models[path])
    return folder


def test_pictures_maps_and_results(images, tmp_path, capsys):
    out = tmp_path / "deep" / "out"
    assert main(["predict", "both.keras", str(images), "--out", str(out)]) == 0
    assert "5 instances in 5 images" in capsys.readouterr().out
    names = [f"{i}_{kind}.png" for i in range(5) for kind in ("instances", "overlay")]
    assert sorted(p.name for p in out.iterdir()) == [*names, "predictions.json"]

    results = json.loads((out / "predictions.json").read_text())
    assert [r["file_name"] for r in results] == [f"{i}.png" for i in range(5)]
    assert [r["image_id"] for r in results] == list(range(5))
    assert {r["category_id"] for r in results} == {9}
    for index, (result, size, (x1, y1, x2, y2)) in enumerate(
        zip(results, SIZES, BOXES, strict=True)
    ):
        np.testing.assert_allclose(result["bbox"], [x1, y1, x2 - x1, y2 - y1], atol=2)
        mask = mask_utils.decode(result["segmentation"])
        numbers = np.asarray(Image.open(out / f"{index}_instances.png"))
        assert numbers.shape == size
        np.testing.assert_array_equal(numbers, mask)
        assert mask[y1 + 2 : y2 - 2, x1 + 2 : x2 - 2].all()
        assert Image.open(out / f"{index}_overlay.png").size == size[::-1]


def test_joints_are_written_and_drawn(images, tmp_path, monkeypatch):
    models = {True: BrightRectangle(keypoints=2), False: BrightRectangle()}
    pictures = []
    for has_joints, model in models.items():
        monkeypatch.setattr("mrcnn_tf.models.load", lambda *_, model=model, **__: model)
        out = tmp_path / f"joints {has_joints}"
        assert main(["predict", "any.keras", str(images), "--out", str(out)]) == 0
        [first, *_] = json.loads((out / "predictions.json").read_text())
        assert ("keypoints" in first) == has_joints
        if has_joints:
            x1, y1, x2, y2 = BOXES[0]
            expected = [x1, y1, 0.8, x2 - 1, y2 - 1, 0.8]
            np.testing.assert_allclose(first["keypoints"], expected, atol=2)
        pictures.append(np.asarray(Image.open(out / "1_overlay.png")).astype(int))
    rows, columns = np.nonzero(np.abs(pictures[0] - pictures[1]).any(axis=-1))
    x1, _, x2, y2 = BOXES[1]  # a label hides the upper part
    assert x1 - 4 <= columns.min() and columns.max() <= x2 + 4
    assert abs(rows.max() - y2) <= 4


def test_unreadable_images_are_named_and_the_rest_goes_on(images, tmp_path, capsys):
    (images / "2.png").write_bytes((images / "2.png").read_bytes()[:60])
    arguments = [str(images), str(tmp_path / "missing.jpg")]
    assert main(["predict", "boxes.keras", *arguments, "--out", str(tmp_path / "out")]) == 1
    streams = capsys.readouterr()
    errors = [line for line in streams.err.splitlines() if line.startswith("mrcnn-tf: error:")]
    assert len(errors) == 2
    assert "2.png" in errors[0] and "image file not found" in errors[1]
    assert "2 of 6 images could not be used" in streams.out
    results = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert [r["file_name"] for r in results] == ["0.png", "1.png", "3.png", "4.png"]
    assert "segmentation" not in results[0]
    assert not list((tmp_path / "out").glob("*_instances.png"))


def test_thresholds(images, tmp_path, capsys):
    base = ["predict", "both.keras", str(images / "0.png"), "--out", str(tmp_path / "out")]
    assert main([*base, "--score-threshold", "0.95"]) == 0
    assert json.loads((tmp_path / "out" / "predictions.json").read_text()) == []
    assert not np.asarray(Image.open(tmp_path / "out" / "0_instances.png")).any()
    assert main([*base, "--score-threshold", "50"]) == 2
    assert "--score-threshold must be between 0 and 1, got 50" in capsys.readouterr().err


def test_files_ids_and_names(images, tmp_path):
    one = images / "1.png"
    assert image_files([str(one), str(images)])[:3] == [one, images / "0.png", images / "2.png"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty holds no image file"):
        image_files([str(tmp_path / "empty")])
    assert image_ids([Path("000000000139.jpg"), Path("7.jpg")]) == [139, 7]
    assert image_ids([Path("a/7.jpg"), Path("b/007.png")]) == [1, 2]
    assert image_ids([Path("7.jpg"), Path("cat.jpg")]) == [1, 2]
    assert output_names([Path("a/x.jpg"), Path("b/x.jpg"), Path("x_2.png")]) == [
        "x",
        "x_2",
        "x_2_2",
    ]


@pytest.mark.slow
def test_a_saved_model(tmp_path, capsys):
    from mrcnn_tf import MaskRCNN

    keras.utils.set_random_seed(0)
    model = MaskRCNN(
        "resnet18",
        num_classes=2,
        category_ids=[5, 8],
        image_size=(64, 64),
        fpn_channels=16,
        box_fc=(16, 16),
        mask_channels=8,
        mask_convs=1,
        score_threshold=0.0,
        max_detections=3,
    )
    model.save(tmp_path / "model.keras")
    pixels = np.random.default_rng(0).integers(0, 255, (90, 120, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "noise.png")
    out = tmp_path / "out"
    arguments = ["predict", str(tmp_path / "model.keras"), str(tmp_path / "noise.png")]
    assert main([*arguments, "--out", str(out), "--score-threshold", "0"]) == 0
    results = json.loads((out / "predictions.json").read_text())
    assert 0 < len(results) <= 3
    for result in results:
        assert result["category_id"] in (5, 8)
        assert result["segmentation"]["size"] == [90, 120]
        x, y, width, height = result["bbox"]
        assert x >= 0 and y >= 0 and x + width <= 120.01 and y + height <= 90.01
    (tmp_path / "model.keras").write_bytes(b"no model")
    assert main([*arguments, "--out", str(out)]) == 2
    assert "model.keras" in capsys.readouterr().err
