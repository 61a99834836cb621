"""`mrcnn-tf benchmark inference`: its rows and tables, on a tiny model."""

import json
import os

import numpy as np
import pytest
import tensorflow as tf

from mrcnn_tf.benchmark import find_peers
from mrcnn_tf.benchmark.tensorflow_models import every_proposal_counts
from mrcnn_tf.cli.main import main
from tests.models.tiny import tiny_model

TINY = ["benchmark", "inference", "--backbone", "resnet18", "--size", "40", "64"]
TINY += ["--max-detections", "2", "--rounds", "2"]


@pytest.fixture
def no_peers(monkeypatch):
    monkeypatch.setattr("mrcnn_tf.benchmark.find_peers", lambda: None)


@pytest.mark.slow
def test_table_and_json_without_torchvision(compiled_ops, no_peers, capsys, tmp_path):
    assert main([*TINY, "--json", str(tmp_path / "figures.json")]) == 0
    printed = capsys.readouterr().out
    assert "torchvision is left out" in printed and "scripts/setup_peers" in printed
    assert "resnet18, 1 x 40 x 64" in printed and "difference / convolutions" in printed
    assert "the same" in printed and "NOT THE SAME" not in printed

    (row,) = json.loads((tmp_path / "figures.json").read_text())
    assert row["row"] == "keypoints" and row["size"] == [40, 64] and row["max_detections"] == 2
    assert row["same_detections"] and row["threads"] >= 1
    assert row["mask_ms"] > 0 and row["mask_keypoints_ms"] > 0 and row["convolutions_ms"] > 0
    # With two rounds a median is a mean, and the difference of the medians that of the rounds.
    assert row["difference_ms"] == pytest.approx(row["mask_keypoints_ms"] - row["mask_ms"])
    assert row["ratio"] == row["difference_ms"] / row["convolutions_ms"]


@pytest.mark.skipif(find_peers() is None, reason="no .venv-peers: scripts/setup_peers makes it")
@pytest.mark.slow
def test_torchvision_has_as_many_detections(compiled_ops, capsys, tmp_path):
    assert main([*TINY, "--batch-size", "2", "--json", str(tmp_path / "figures.json")]) == 0
    row, _ = json.loads((tmp_path / "figures.json").read_text())
    assert row["row"] == "torchvision" and "torchvision / ours" in capsys.readouterr().out
    assert row["ours_detections"] == row["peer_detections"] == 4
    assert row["ratio"] == row["peer_ms"] / row["ours_ms"]
    assert row["ours_images_per_second"] == pytest.approx(2000 / row["ours_ms"])


def test_every_proposal_is_a_detection_and_an_anchor():
    model = tiny_model(max_detections=5)
    every_proposal_counts(model)
    found = model(np.random.default_rng(0).integers(0, 256, (1, 64, 96, 3), np.uint8))
    assert found["num_detections"].numpy().tolist() == [5]
    np.testing.assert_allclose(found["scores"][0], 0.5, atol=1e-6)
    assert (found["classes"][0].numpy() == 0).all()
    pyramid = model.features(tf.zeros([1, 64, 96, 3]), tf.constant([[64, 96]]))
    anchors = np.concatenate([level.numpy() for level in model.anchors(pyramid)])
    anchors = np.clip(anchors, 0, [96, 64, 96, 64])
    for box in found["boxes"][0].numpy():
        assert np.abs(anchors - box).max(axis=1).min() < 1e-3


def test_mistakes_are_told(no_peers, capsys):
    for options, message in (
        (["--backbone", "vgg"], "no such backbone: vgg; there are resnet18,"),
        (["--size", "0", "64"], "size must be positive, got 0"),
        (["--rounds", "0"], "rounds must be positive, got 0"),
        (["--cases", "nms_12000"], "--cases is no option of benchmark inference"),
        (["--quick"], "--quick is no option of benchmark inference"),
    ):
        assert main(["benchmark", "inference", *options]) == 2
        assert message in capsys.readouterr().err
    assert main(["benchmark", "ops", "--batch-size", "2"]) == 2
    assert "--batch-size is no option of benchmark ops" in capsys.readouterr().err


def test_a_row_is_kept_where_the_next_fails(no_peers, monkeypatch, capsys, tmp_path):
    def rows(**_):
        row = {"row": "torchvision", "backbone": "resnet50", "size": [800, 1333], "batch_size": 2}
        row |= {"ours_ms": 2000.0, "peer_ms": 5000.0, "ratio": 2.5}
        row |= {"ours_images_per_second": 1.0, "peer_images_per_second": 0.4}
        yield row | {"ours_detections": 200, "peer_detections": 199}
        raise ValueError("the worker ended")

    monkeypatch.setattr("mrcnn_tf.benchmark.time_inference", rows)
    monkeypatch.setattr(os, "getloadavg", lambda: (3.25, 0.0, 0.0))
    assert main(["benchmark", "inference", "--json", str(tmp_path / "figures.json")]) == 2
    printed = capsys.readouterr()
    assert all(cell in printed.out for cell in ("2000.0", "0.40", "199", "2.50"))
    assert "the worker ended" in printed.err and "keep 3.2 cores busy" in printed.out
    assert json.loads((tmp_path / "figures.json").read_text())[0]["ratio"] == 2.5
