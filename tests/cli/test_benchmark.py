"""`mrcnn-tf benchmark ops`: its rows and table, in small; its bounds and agreement."""

import json
import os
import sys

import numpy as np
import pytest

from mrcnn_tf.benchmark import CASES, agreement, roi_cells, run
from mrcnn_tf.benchmark.bandwidth import copy_bandwidth
from mrcnn_tf.cli.main import main

KEYS = {
    *("case", "ours_ms", "peer", "peer_ms", "ratio", "bound_ms", "agreement"),
    *("ours_peak_mib", "peer_peak_mib"),
}


@pytest.fixture
def no_peers(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mrcnn_tf.benchmark.find_peers", lambda: None)


@pytest.mark.parametrize(
    ("case", "peers"),
    [
        ("nms_top1000", ["tf.image", "plain"]),
        pytest.param("roi_align_14", ["plain"], marks=pytest.mark.slow),
        pytest.param("match_boxes", ["plain"], marks=pytest.mark.slow),
    ],
)
def test_table_and_json_without_torchvision(compiled_ops, no_peers, capsys, tmp_path, case, peers):
    options = ["--quick", "--rounds", "2", "--json", str(tmp_path / "figures.json")]
    assert main(["benchmark", "ops", "--cases", case, *options]) == 0
    printed = capsys.readouterr().out
    assert "torchvision is left out" in printed and "scripts/setup_peers" in printed
    assert all(name in printed for name in [case, *peers, "mean nothing"])
    assert ("identical" in printed) == (case != "roi_align_14")

    rows = json.loads((tmp_path / "figures.json").read_text())
    assert [(row["case"], row["peer"]) for row in rows] == [(case, peer) for peer in peers]
    for row in rows:
        assert set(row) == KEYS
        assert row["ours_ms"] > 0 and row["ratio"] == row["peer_ms"] / row["ours_ms"]
    row = rows[0]
    if case == "roi_align_14":
        assert row["agreement"]["largest_difference"] < 1e-3 and row["bound_ms"] > 0
    if case == "nms_top1000":
        assert row["agreement"] == {"identical": True, "common": 1.0} and row["bound_ms"] is None
        assert row["ours_peak_mib"] is None
    if case == "match_boxes":
        assert row["peer_peak_mib"] >= row["ours_peak_mib"]


def test_mistakes_are_told(no_peers, capsys):
    assert main(["benchmark", "ops", "--cases", "roi_align_8"]) == 2
    assert "no such case: roi_align_8; there are roi_align_7," in capsys.readouterr().err
    assert main(["benchmark", "ops", "--rounds", "0"]) == 2
    assert "rounds must be positive, got 0" in capsys.readouterr().err
    assert main(["benchmark", "ops", "--peers", "nowhere/python"]) == 2
    assert "nowhere/python" in capsys.readouterr().err


def test_a_python_without_torch_is_told(compiled_ops, no_peers, capsys):
    # This interpreter must not have torch: TensorFlow and torch do not share an environment.
    options = ["--quick", "--cases", "nms_12000", "--peers", sys.executable]
    assert main(["benchmark", "ops", *options]) == 2
    message = capsys.readouterr().err
    assert "torch_worker.py" in message and "No module named 'torch'" in message


def test_rows_are_kept_where_a_later_case_fails(no_peers, monkeypatch, capsys, tmp_path):
    def rows(*_, **__):
        row = dict.fromkeys(KEYS) | {"case": "nms_12000", "peer": "plain"}
        row |= {"ours_ms": 2.0, "peer_ms": 5.0, "ratio": 2.5}
        yield row | {"agreement": {"identical": False, "common": 0.5}}
        raise ValueError("the worker ended")

    monkeypatch.setattr("mrcnn_tf.benchmark.run_cases", rows)
    monkeypatch.setattr(os, "getloadavg", lambda: (3.25, 0.0, 0.0))
    assert main(["benchmark", "ops", "--json", str(tmp_path / "figures.json")]) == 2
    printed = capsys.readouterr()
    assert "nms_12000" in printed.out and "50.00 % in common" in printed.out
    assert "the worker ended" in printed.err and "keep 3.2 cores busy" in printed.out
    assert json.loads((tmp_path / "figures.json").read_text())[0]["ratio"] == 2.5


def test_peers_of_the_checkout_are_found(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    python = tmp_path / ".venv-peers" / "bin" / "python"
    python.parent.mkdir(parents=True)
    os.symlink(sys.executable, python)
    assert run.find_peers() == python


def test_inputs_are_the_sizes_that_are_promised():
    rng = np.random.default_rng(0)
    matched = CASES["match_boxes"].inputs(rng, 1)
    assert matched["anchors"].shape == (268_569, 4) and matched["boxes"].shape == (100, 4)
    scores = CASES["batched_nms"].inputs(rng, 1)["scores"]
    assert scores.shape == (1000, 80) and len(np.unique(scores)) == scores.size
    boxes = CASES["nms_12000"].inputs(rng, 1)["boxes"]
    assert boxes.shape == (12_000, 4) and boxes.min() >= 0
    assert (boxes.max(axis=0) <= [1333, 800, 1333, 800]).all()
    assert (boxes[:, 2:] > boxes[:, :2]).all()


def test_bytes_of_cells_counted_by_hand():
    # Two bins of a box from 4 to 12 px on a map of stride 4: with the shift of half a cell it spans
    # 0.5 to 2.5, samples at 0.75, 1.25, 1.75, 2.25 read cells 0 to 3, in both directions.
    arrays = {
        "boxes": np.float32([[4, 4, 12, 12]]),
        "levels": np.int64([0]),
        "bins": np.int64(2),
        "strides": np.int64([4]),
        "features0": np.zeros((1, 8, 8, 3), np.float32),
        "gradient": np.zeros((1, 1, 2, 2, 3), np.float32),
    }
    output = 2 * 2 * 3 * 4
    assert roi_cells.forward_bytes(arrays, aligned=True) == 4 * 4 * 3 * 4 + output
    # Without it 1 to 3: samples at 1.25, 1.75, 2.25, 2.75 read cells 1 to 3.
    assert roi_cells.forward_bytes(arrays, aligned=False) == 3 * 3 * 3 * 4 + output
    assert roi_cells.backward_bytes(arrays) == 8 * 8 * 3 * 4 + output
    # A second box on the same cells reads nothing new.
    twice = arrays | {"boxes": np.repeat(arrays["boxes"], 2, 0), "levels": np.int64([0, 0])}
    assert roi_cells.forward_bytes(twice, True) == roi_cells.forward_bytes(arrays, True)
    assert copy_bandwidth(threads=2, size=1 << 20, rounds=2) > 1e7


def test_agreement_sees_what_is_wrong():
    values = {"pooled": np.ones((2, 2))}
    assert agreement.same_values(values, {"pooled": np.ones((2, 2)) + 0.5}) == {
        "largest_difference": 0.5
    }
    for wrong in (np.ones(3), np.full((2, 2), np.nan)):
        found = agreement.same_values(values, {"pooled": wrong})
        assert agreement.describe(found) == "NOT COMPARABLE"

    found = agreement.same_indices({"indices": np.arange(4)}, {"indices": np.int64([0, 1, 3, 2])})
    assert found == {"identical": False, "common": 1.0}
    found = agreement.same_indices({"indices": np.arange(4)}, {"indices": np.arange(3)})
    assert agreement.describe(found) == "75.00 % in common"

    boxes = np.float32([[0, 0, 9, 9], [5, 5, 8, 8]])
    assert agreement.same_boxes({"boxes": boxes}, {"boxes": boxes + 0.001})["identical"]
    found = agreement.same_boxes({"boxes": boxes}, {"boxes": boxes[1:]})
    assert found == {"identical": False, "common": 0.5}

    from pycocotools import mask as mask_utils

    pixels = np.zeros((4, 4), np.uint8, order="F")
    pixels[:2, :2] = 1
    half = pixels.copy(order="F")
    half[1] = 0
    first, second = ([mask_utils.encode(mask)["counts"]] for mask in (pixels, half))
    found = agreement.same_masks(
        {"counts": first, "image_size": [4, 4]}, {"counts": second, "image_size": [4, 4]}
    )
    assert found == {"iou_min": 0.5, "iou_median": 0.5}
