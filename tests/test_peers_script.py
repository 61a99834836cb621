"""`scripts/test_peers`: what it asks for, and that its comparisons see what differs."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mrcnn_tf.benchmark import find_peers

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"


@pytest.fixture(autouse=True)
def scripts_path(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPTS)


def run_script(*arguments, **environment):
    command = [sys.executable, SCRIPTS / "test_peers.py", *arguments]
    return subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True
    )


def test_it_says_what_it_needs(tmp_path):
    bash = [shutil.which("bash"), str(SCRIPTS / "test_peers")]
    done = subprocess.run([*bash, "--help"], capture_output=True, text=True)
    assert done.returncode == 0 and "examples:" in done.stdout and "--quick" in done.stdout
    done = subprocess.run([*bash, "--python", "absent"], capture_output=True, text=True)
    assert done.returncode == 2 and "--python absent" in done.stderr
    here = ["--python", sys.executable]
    done = run_script(*here, "--parts", "inference", MRCNN_TF_DATA=str(tmp_path))
    assert done.returncode == 1 and "coco128" in done.stderr and "--parts golden" in done.stderr
    done = run_script("--python", str(tmp_path / "absent"))
    assert done.returncode == 1 and "scripts/setup_peers" in done.stderr
    for wrong in (["--models", "retinanet"], ["--size", "800"], ["--seeds", "-1"]):
        done = run_script(*wrong)
        assert done.returncode == 2 and wrong[0] in done.stderr


@pytest.fixture
def found():
    """Makes `Found`: boxes of 100 x 100 px in a row, scores from 0.9 down, one group."""
    from test_peers_pairs import Found

    def make(lefts, scores, sides=100.0):
        lefts = np.float32(lefts)
        boxes = np.stack([lefts, 0 * lefts, lefts + sides, 0 * lefts + 100], axis=1)
        return Found(boxes.astype(np.float32), np.float32(scores), np.zeros(len(lefts), int))

    return make


def test_pairs_need_group_box_and_score(found):
    from test_peers_pairs import pair_up

    theirs = found([0, 200, 400], [0.9, 0.8, 0.7])
    assert [rows.tolist() for rows in pair_up(theirs, theirs)] == [[0, 1, 2], [0, 1, 2]]
    near = found([0.009, 200, 400], [0.9, 0.800019, 0.7])
    assert len(pair_up(near, theirs)[0]) == 3
    far = found([0.011, 200, 400], [0.9, 0.800021, 0.7])
    far.groups[2] = 1
    assert len(pair_up(far, theirs)[0]) == 0
    # One of theirs has one partner, however many are near it.
    assert [rows.tolist() for rows in pair_up(found([0, 0], [0.9, 0.9]), theirs)] == [[0], [0]]


def test_a_result_without_partner_names_its_tie(found):
    from test_peers_pairs import Rules, explain_unpaired

    def ties(ours, theirs, candidates, **rules):
        pairs, rows = explain_unpaired(
            ours, theirs, candidates, Rules(iou_threshold=0.5, **{"most": 100, **rules})
        )
        return pairs, [(row["side"], row["tie"]) for row in rows]

    # 100 x 100 boxes moved by 100 / 3 have an IoU of 0.5.
    third = 100 / 3
    all_three = found([0, third, 400], [0.9, 0.8, 0.7])
    pairs, rows = ties(all_three, found([0, 400], [0.9, 0.7]), all_three)
    assert pairs == 2 and rows[0][0] == "ours" and "from the threshold" in rows[0][1]
    # With an IoU of 0.4 nothing is near, and it is a difference.
    apart = found([0, 43, 400], [0.9, 0.8, 0.7])
    assert ties(apart, found([0, 400], [0.9, 0.7]), apart) == (2, [("ours", None)])
    # A box that the other side cannot have kept is no tie, however near the threshold.
    assert ties(all_three, found([0, 400], [0.9, 0.7]), found([0, 400], [0.9, 0.7]))[1] == [
        ("ours", None)
    ]
    # Of two doubles with equal scores either may stay, and what it suppresses follows.
    doubles = found([0, 20, 50], [0.9, 0.899995, 0.5])
    pairs, rows = ties(found([20], [0.899995]), found([0, 50], [0.9, 0.5]), doubles)
    assert pairs == 0 and all("double" in tie or "follows" in tie for _, tie in rows)
    # A counterpart a little farther away than a pair may be is named as such, a far one is not.
    one, near, far = (found([0], [score]) for score in (0.9, 0.90003, 0.9002))
    assert ties(near, one, one) == (
        0,
        [(side, ties(near, one, one)[1][0][1]) for side in ("ours", "theirs")],
    )
    assert "3.0e-05 of score from its counterpart" in ties(near, one, one)[1][0][1]
    assert ties(far, one, one)[1][0] == ("ours", None)
    # The lowest score, the cut of a level, the last of all.
    lowest = found([0, 300], [0.9, 0.050004])
    pairs, rows = ties(lowest, found([0], [0.9]), lowest, lowest=0.05)
    assert "from the lowest" in rows[0][1]
    level = found([0, 300, 600], [0.9, 0.3, 0.299995])
    pairs, rows = ties(
        found([0, 300], [0.9, 0.3]), found([0, 600], [0.9, 0.299995]), level, most_in_group=2
    )
    assert pairs == 1 and all("2th of its level" in tie for _, tie in rows)
    pairs, rows = ties(found([0, 300], [0.9, 0.3]), found([0, 600], [0.9, 0.299995]), level, most=2)
    assert pairs == 1 and all("one of the last" in tie for _, tie in rows)


def test_rounding_of_shifted_coordinates_is_a_tie(found):
    """torchvision tells classes apart by adding to float32 coordinates: class 90 loses bits."""
    from test_peers_pairs import Found, Rules, explain_unpaired

    boxes = np.float32([[0.0045, 0, 10.0045, 10], [3.3395, 0, 13.3395, 10], [0, 0, 1000, 1000]])
    candidates = Found(boxes, np.float32([0.9, 0.8, 0.1]), np.array([90, 90, 0]))
    rows = [0, 1]
    both = Found(candidates.boxes[rows], candidates.scores[rows], candidates.groups[rows])
    first = Found(both.boxes[:1], both.scores[:1], both.groups[:1])
    for first_group in (1, None):
        rules = Rules(iou_threshold=0.5, most=100, first_group=first_group)
        _, unpaired = explain_unpaired(both, first, candidates, rules)
        tie = unpaired[0]["tie"]
        assert tie is None if first_group is None else "0.49981, or 0.50059" in tie


def test_deviations_and_golden_files_are_seen(tmp_path):
    from test_peers_golden import compare_files, golden_makers
    from test_peers_pairs import deviation

    values = np.float32([[1, -4], [2, 0]])
    assert deviation(values, values) == 0
    assert deviation(values + np.float32(0.4), values) == pytest.approx(0.1)
    assert deviation(values * np.nan, values) == np.inf
    with pytest.raises(ValueError, match="shapes differ"):
        deviation(values[:1], values)

    arrays = {"values": values, "names": np.array(["a", "b"])}
    np.savez(tmp_path / "old.npz", **arrays)

    def compare(**changed):
        np.savez(tmp_path / "new.npz", **{**arrays, **changed})
        return compare_files(tmp_path / "old.npz", tmp_path / "new.npz")

    assert compare() == {"result": "the same bits", "passed": True}
    assert compare(values=values * np.float32(1.00001))["passed"]
    moved = compare(values=values * np.float32(1.001))
    assert not moved["passed"] and "values moved by 1.0e-03" in moved["result"]
    assert not compare(names=np.array(["a", "c"]))["passed"]
    assert "only one of them has more" in compare(more=values)["result"]
    assert "values was" in compare(values=values[:1])["result"]
    assert not compare_files(tmp_path / "absent.npz", tmp_path / "new.npz")["passed"]
    makers = {maker.name for maker in golden_makers()}
    assert {"make_golden_torchvision.py", "make_golden_torchvision_training.py"} <= makers
    assert "make_golden_torch_files.py" not in makers


def test_masks_and_poor_images_are_seen():
    import test_peers_inference as inference

    masks = np.zeros([2, 60, 60], bool)
    masks[:, 10:40, 10:40] = True
    boxes = np.float32([[10, 10, 40, 40]] * 2)
    theirs = {"boxes": boxes, "classes": np.array([3, 4]), "image_masks": masks}
    theirs["undecided"] = np.zeros_like(masks)
    ours = {**theirs, "image_masks": masks.copy()}
    ours["image_masks"][1, 10, 10:15] = False
    rows = [0, 1]
    (unequal,) = inference.unequal_masks(ours, theirs, rows, rows)
    assert unequal == {"group": 4, "iou": pytest.approx(1 - 5 / 900), "pixels": 5, "tie": None}
    theirs["undecided"][1, 10, 10:15] = True
    (unequal,) = inference.unequal_masks(ours, theirs, rows, rows)
    assert "0.5" in unequal["tie"]

    row = {"ours": 200, "theirs": 200, "pairs": 199, "unpaired": []}
    assert inference.judge_pairs(row)["passed"]
    assert not inference.judge_pairs({**row, "pairs": 198})["passed"]
    assert not inference.judge_pairs({**row, "unpaired": [{"tie": None}]})["passed"]
    assert not inference.judge_pairs({**row, "masks": 1, "unequal_masks": [{"tie": None}]})[
        "passed"
    ]
    joints = {**row, "joints": 100, "equal_joints": 99, "joint_logit": 1e-5}
    assert inference.judge_pairs(joints)["passed"]
    assert not inference.judge_pairs({**joints, "equal_joints": 98})["passed"]
    assert not inference.judge_pairs({**joints, "joint_logit": 2e-4})["passed"]
    assert not inference.judge_pairs({**row, "ours": 0, "theirs": 0, "pairs": 0})["passed"]

    rich = {"detections": 30, "classes": 6, "lowest": 0.06, "highest": 0.9}
    assert inference.judge_spread([rich, rich], 90)["passed"]
    assert not inference.judge_spread([rich, {**rich, "detections": 19}], 90)["passed"]
    assert not inference.judge_spread([rich, {**rich, "classes": 4}], 90)["passed"]
    assert not inference.judge_spread([{**rich, "highest": 0.5}], 90)["passed"]
    assert inference.judge_spread([{**rich, "classes": 1}], 1)["passed"]


def test_differences_in_training_are_seen():
    import test_peers_training as training

    losses = {"class_loss": 2.0, "box_loss": 0.5}
    assert all(row["passed"] for row in training.compare_losses(losses, losses))
    rows = list(training.compare_losses({**losses, "box_loss": 0.5001}, losses))
    assert [row["passed"] for row in rows] == [True, False]
    assert not all(row["passed"] for row in training.compare_losses({"class_loss": 2.0}, losses))
    assert training.compare_steps([losses] * 2, [losses] * 2)["passed"]
    row = training.compare_steps([losses, {**losses, "class_loss": 2.03}], [losses] * 2)
    assert not row["passed"] and "1.5e-02 (class_loss)" in row["result"]
    assert not training.compare_steps([{**losses, "box_loss": np.nan}], [losses])["passed"]

    gradients = {"a": np.float32([3, 4]), "b": np.zeros(2, np.float32)}

    def compare(ours, exact=gradients):
        return training.compare_gradients(ours, gradients, exact, has_batch_statistics=False)

    assert compare(gradients)["passed"]
    apart = {**gradients, "a": np.float32([3, 4.01])}
    row = compare(apart)
    assert not row["passed"] and row["errors"]["a"] == pytest.approx(2e-3, rel=1e-3)
    assert not compare({"a": gradients["a"]})["passed"]
    # One that is apart has to be near float64 with the same units, however far from it theirs is.
    row = compare(apart, {**gradients, "a": np.float32([3, 4.011])})
    assert row["passed"] and "1 others within 2.0e-04 of float64" in row["result"]
    assert not compare(apart, {**gradients, "a": np.float32([3, 4.02])})["passed"]

    anchors = np.float32([[0, 0, 10, 10], [20, 0, 30, 10], [50, 0, 60, 10]])
    sizes, theirs = np.array([[10, 40]]), np.array([[1, 0, 0]])
    assert training.compare_labels(np.array([[1, 0, -1]]), theirs, anchors, sizes)["passed"]
    assert not training.compare_labels(np.array([[1, 1, -1]]), theirs, anchors, sizes)["passed"]
    assert not training.compare_labels(np.array([[1, 0, 0]]), theirs, anchors, sizes)["passed"]
    boxes = [anchors]
    assert training.compare_proposals(boxes, boxes)["passed"]
    assert not training.compare_proposals([anchors[:2]], boxes)["passed"]
    assert not training.compare_proposals([anchors + np.float32(0.02)], boxes)["passed"]


def test_units_on_the_other_side_of_their_relu_are_seen():
    import test_peers_units

    from mrcnn_tf.layers import KeypointHead

    class Model:
        keypoints, keypoint_head = 2, KeypointHead(3, 2, channels=4, num_convs=2)

    pooled = np.random.default_rng(0).normal(size=[2, 3, 5, 5, 3]).astype(np.float32)
    with test_peers_units.recorded_units(Model) as units:
        Model.keypoint_head(pooled)
    Model.keypoint_head(pooled)
    assert [each.shape for each in units] == [(6, 5, 5, 4)] * 2
    # The batch has two and one positive RoIs, of four that were sampled in an image.
    is_positive = np.array([[1, 1, 0, 0], [1, 0, 0, 0]], bool)
    packed = test_peers_units.pack_units(units, is_positive)
    expected = units[1].numpy()[[0, 1, 3]].transpose(0, 3, 1, 2) > 0
    assert 0.1 < expected.mean() < 0.9
    np.testing.assert_array_equal(
        np.unpackbits(packed["units.1"], count=expected.size).reshape(expected.shape), expected
    )
    Model.keypoints = 0
    with test_peers_units.recorded_units(Model) as units:
        assert not units and not test_peers_units.pack_units(units, is_positive)

    def compare(other_side, farthest):
        return test_peers_units.compare_units(
            *map(np.array, ([10**6, 10**6], other_side, farthest))
        )

    assert compare([0, 0], [0, 0])["passed"]
    row = compare([2, 3], [1e-7, 2e-6])
    assert row["passed"] and "1999995 of 2000000 pass or not" in row["result"]
    assert not compare([2, 3], [1e-7, 2e-5])["passed"]
    assert not compare([2, 300], [1e-7, 2e-6])["passed"]


def test_rounding_of_gradients_is_told_from_an_error():
    import test_peers_training as training

    def compare(ours, theirs, exact, **values):
        """`a` has a second value that rounding moves; `values` are another's on the three sides."""
        sides = [{"a": np.float32([3, second])} for second in (ours, theirs, exact)]
        for name, three in values.items():
            for side, value in zip(sides, three, strict=True):
                side[name] = np.float32([value])
        return training.compare_gradients(*sides, has_batch_statistics=True)

    row = compare(4.06, 3.95, 4, b=(1, 1, 1))
    assert row["passed"] and "1 of 2 tensors within 1e-03, 1 others as near" in row["result"]
    assert "ours within 1.2e-02, torchvision's 1.0e-02" in row["result"]
    assert "1.20 times as far (a)" in row["result"]
    row = compare(4.08, 3.95, 4)  # 1.6 times as far
    assert not row["passed"] and "too far from float64: a" in row["result"]
    # A gradient that is wrong is not excused by another's rounding, nor by a float64 that is wrong.
    row = compare(4.05, 3.95, 4, b=(1.01, 1, 1))
    assert not row["passed"] and "too far from float64: b" in row["result"]
    assert not compare(4.06, 3.95, 5)["passed"]
    assert not compare(np.nan, 3.95, 4)["passed"]
    # What is 0 in exact arithmetic is rounding alone, and has to be small.
    row = compare(4, 4, 4, b=(4e-8, 1e-9, 1e-13))
    assert row["passed"] and "1 others 0 but for 8.0e-09 of all gradients" in row["result"]
    assert not compare(4, 4, 4, b=(6e-8, 1e-9, 1e-13))["passed"]
    # One that agrees in float32 needs no excuse.
    assert compare(3.95, 3.95, 5)["passed"]

    losses = {"class_loss": 2.0}
    apart = training.compare_steps([{"class_loss": 3.0}], [losses])
    row = training.only_finite(apart)
    assert not apart["passed"] and row["passed"] and "not judged" in row["result"]
    diverged = training.compare_steps([{"class_loss": np.nan}], [losses])
    assert not training.only_finite(diverged)["passed"]


def test_weights_that_are_trained_on_one_side_alone_are_named():
    import test_peers_training as training

    from tests.models.tiny import tiny_model

    model, marks = tiny_model(), tiny_model()
    for weight in marks.weights:
        weight.assign(np.full(weight.shape, float(weight.trainable)))
    assert training.compare_trainable(model, marks)["passed"]
    marks.fpn.laterals[0].kernel.assign(0 * marks.fpn.laterals[0].kernel)
    row = training.compare_trainable(model, marks)
    assert not row["passed"] and "kernel" in row["result"]
    start = tiny_model()
    start.set_weights(marks.get_weights())
    assert training.compare_weights(model, model, start)["passed"]
    assert not training.compare_weights(start, model, start)["passed"]


@pytest.mark.slow
def test_a_quick_run_agrees(data_folder, tmp_path):
    python = find_peers()
    if python is None:
        pytest.skip("there is no .venv-peers: scripts/setup_peers makes it")
    arguments = ["--quick", "--models", "maskrcnn_resnet50_fpn", "--json", tmp_path / "found.json"]
    done = run_script(*arguments, "--python", python, PYTHONPATH=str(SCRIPTS.parent))
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-2000:]}"
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["passed"] and {row["part"] for row in found["rows"]} == {
        "golden",
        "inference",
        "training",
    }
