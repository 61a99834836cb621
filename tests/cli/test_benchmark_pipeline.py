"""`mrcnn-tf benchmark pipeline`: its row and table, on a tiny folder."""

import json

import pytest

from mrcnn_tf.benchmark import find_peers
from mrcnn_tf.cli.main import main
from tests.data.coco_folder import NATIVE, blob, random_folder


@pytest.fixture
def command(tmp_path):
    folder = random_folder(tmp_path / "photos", num_images=5, objects=2)
    folder.add_object(10, blob(*NATIVE, 1), iscrowd=1)
    folder.write()
    command = ["benchmark", "pipeline", "--data", str(folder.root), "--size", "40", "56"]
    return [*command, "--rounds", "2", "--json", str(tmp_path / "figures.json")]


def test_table_and_json_without_torchvision(monkeypatch, command, capsys, tmp_path):
    monkeypatch.setattr("mrcnn_tf.benchmark.find_peers", lambda: None)
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "torchvision is left out" in printed
    assert "5 images at 40 x 56, batches of 2" in printed and "ours / torch" not in printed
    (row,) = json.loads((tmp_path / "figures.json").read_text())
    assert row["images"] == 5 and row["ours_objects"] == 10 and row["rounds"] == 2
    assert row["ours_images_per_second"] > 0 and row["ratio"] is None


@pytest.mark.skipif(find_peers() is None, reason="no .venv-peers: scripts/setup_peers makes it")
@pytest.mark.slow
def test_torchvision_reads_the_same(command, capsys, tmp_path):
    assert main(command) == 0
    assert "ours / torchvision" in capsys.readouterr().out
    (row,) = json.loads((tmp_path / "figures.json").read_text())
    assert row["ours_objects"] == row["peer_objects"] == 10
    assert row["ratio"] == row["ours_images_per_second"] / row["peer_images_per_second"]


def test_mistakes_are_told(monkeypatch, command, capsys):
    monkeypatch.setattr("mrcnn_tf.benchmark.find_peers", lambda: None)
    for options, message in (
        (["benchmark", "pipeline"], "benchmark pipeline needs --data FOLDER"),
        ([*command, "--batch-size", "0"], "batch_size must be positive, got 0"),
        ([*command, "--quick"], "--quick is no option of benchmark pipeline"),
        ([*command, "--split", "val"], "val"),
        (["benchmark", "ops", "--data", "photos"], "--data is no option of benchmark ops"),
    ):
        assert main(options) == 2
        assert message in capsys.readouterr().err
