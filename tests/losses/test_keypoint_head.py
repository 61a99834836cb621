from pathlib import Path

import numpy as np
import tensorflow as tf

from mrcnn_tf.losses import keypoint_loss, keypoint_targets

GOLDEN = Path(__file__).parents[1] / "golden"
BOX = [10.0, 20.0, 50.0, 100.0]  # cells of 10 x 20 px on a grid of 4


def targets(joints, box=BOX):
    cells, is_valid = keypoint_targets(tf.constant([[joints]]), tf.constant([[box]]), 4)
    return cells.numpy()[0, 0].tolist(), is_valid.numpy()[0, 0].tolist()


def test_cells_of_joints():
    inside = [[10.0, 20, 2], [19.9, 39.9, 1], [20.0, 20, 2], [10.0, 40, 2], [35.0, 85, 2]]
    assert targets(inside) == ([0, 0, 1, 4, 14], [True] * 5)
    edges = [[50.0, 20, 2], [10.0, 100, 2], [50.0, 100, 1]]  # right, bottom, both
    assert targets(edges) == ([3, 12, 15], [True] * 3)


def test_joints_outside_or_not_annotated_are_not_learnt():
    outside = [[9.9, 50.0, 2], [50.1, 50, 2], [30, 19.9, 2], [30, 100.1, 2], [-1e9, 50, 2]]
    assert targets(outside) == ([0] * 5, [False] * 5)
    assert targets([[30.0, 50, 0], [0.0, 0, 0]]) == ([0, 0], [False, False])
    for empty in ([30.0, 50, 30, 60], [30.0, 50, 40, 50], [0.0, 0, 0, 0]):
        assert targets([[30.0, 50, 2], [0.0, 0, 2]], empty) == ([0, 0], [False, False])


def test_targets_are_those_of_detectron2():
    golden = np.load(GOLDEN / "detectron2_keypoint_rcnn.npz")
    cells, is_valid = keypoint_targets(golden["kpt.keypoints"][None], golden["kpt.boxes"][None], 56)
    np.testing.assert_array_equal(cells[0], golden["kpt.target"])
    np.testing.assert_array_equal(is_valid[0], golden["kpt.valid"] == 1)
    assert 0 < golden["kpt.valid"].sum() < golden["kpt.valid"].size


def test_loss_and_gradient_are_torchvisions():
    golden = np.load(GOLDEN / "torchvision_keypoints.npz")
    logits = tf.constant(golden["loss.logits"][None])
    keypoints, boxes = (
        tf.constant(golden[f"loss.{name}"][None]) for name in ("keypoints", "boxes")
    )
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([logits, keypoints, boxes])
        loss = keypoint_loss(logits, *keypoint_targets(keypoints, boxes, 8))
    np.testing.assert_allclose(loss, golden["loss.loss"], rtol=1e-5)
    np.testing.assert_allclose(tape.gradient(loss, logits)[0], golden["loss.gradient"], atol=1e-6)
    assert tape.gradient(loss, [keypoints, boxes]) == [None, None]


def test_known_values_and_normalizers():
    logits = np.zeros([1, 2, 4, 4, 3], np.float32)
    logits[0, 0, 1, 2, 0] = 4.0
    cells = tf.constant([[[6, 3, 0], [5, 5, 5]]])
    is_valid = tf.constant([[[True, True, False], [False] * 3]])
    expected = (np.log(np.exp(4) + 15) - 4) + np.log(16)
    np.testing.assert_allclose(keypoint_loss(logits, cells, is_valid), expected / 2, rtol=1e-5)
    np.testing.assert_allclose(
        keypoint_loss(logits, cells, is_valid, 12.0), expected / 12, rtol=1e-5
    )
    none = tf.zeros([1, 2, 3], tf.bool)
    assert float(keypoint_loss(logits, cells, none)) == 0.0
    assert float(keypoint_loss(logits[:, :0], cells[:, :0], none[:, :0])) == 0.0
