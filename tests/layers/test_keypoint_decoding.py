from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from mrcnn_tf.layers import KeypointDecoding
from tests.layers.layer_case import check_layer
from tests.weights.seeded_tensors import seeded_tensor

GOLDEN = Path(__file__).parents[1] / "golden"
METHODS = ["grid", "torchvision", "detectron2"]
BOXES = tf.constant([[[10.0, 20, 50, 100], [0.0, 0, 8, 8], [0.0, 0, 0, 0]]] * 2)


def decode(method, maps, boxes):
    """Joints `[N, K, 3]` of maps `[N, K, h, w]` in boxes `[N, 4]`."""
    logits = tf.constant(np.moveaxis(np.float32(maps), 1, -1)[None])
    found = KeypointDecoding(method)(logits, tf.constant(np.float32(boxes)[None]))
    return found.numpy()[0]


@pytest.mark.parametrize("method", METHODS)
def test_serialisation_and_precision(method):
    check_layer(
        lambda **kwargs: KeypointDecoding(method, **kwargs),
        [tf.random.stateless_normal([2, 3, 8, 6, 5], [0, 1]), BOXES],
        num_weights=0,
        mixed_dtypes=["float32"],
    )
    with pytest.raises(ValueError, match="keypoint_decoding must be one of .*'grid'.* 'argmax'"):
        KeypointDecoding("argmax")


@pytest.mark.parametrize("method", METHODS)
def test_no_boxes(method):
    empty = KeypointDecoding(method)(tf.zeros([2, 0, 8, 8, 5]), tf.zeros([2, 0, 4]))
    assert empty.shape == (2, 0, 5, 3)


def test_the_vertex_of_a_parabola():
    """A heatmap that is a paraboloid gives its very vertex, and a shifted box shifts it."""
    y, x = np.mgrid[:4, :8] + 0.5
    paraboloid = -((x - 4.3) ** 2) - 2 * (y - 1.75) ** 2
    found = decode("grid", [[paraboloid]], [[10, 20, 90, 60]])[0, 0]  # cells of 10 x 10 px
    np.testing.assert_allclose(found[:2], [10 + 43, 20 + 17.5], rtol=1e-5)
    softmax = np.exp(paraboloid) / np.exp(paraboloid).sum()
    np.testing.assert_allclose(found[2], softmax.max(), rtol=1e-5)


def test_plateaus_and_edges_take_the_centre_of_the_cell():
    maps = np.zeros([4, 4, 8])
    maps[0, 0, 0], maps[0, 0, 1] = 3, 2  # a corner; its neighbour on one side would pull
    maps[1, 3, 7] = 3
    maps[2, 2, 3:6] = 3  # three equal cells: the first of them, and nothing below its left
    found = decode("grid", [maps], [[0, 0, 80, 40]])[0]
    np.testing.assert_allclose(found[0, :2], [5, 5])
    np.testing.assert_allclose(found[1, :2], [75, 35])
    np.testing.assert_allclose(found[2, :2], [40, 25], rtol=1e-5)  # between the equal two
    np.testing.assert_allclose(found[3], [5, 5, 1 / 32], rtol=1e-5)  # flat


def test_score_is_a_probability_or_torchvisions_logit():
    maps = np.zeros([1, 8, 8])
    maps[0, 3, 4] = 2.0
    box = [[0, 0, 8, 8]]  # each cell a pixel
    probability = np.exp(2) / (np.exp(2) + 63)
    for method, score in (("grid", probability), ("torchvision", 2), ("detectron2", probability)):
        found = decode(method, [maps], box)[0, 0]
        np.testing.assert_allclose(found, [4.5, 3.5, score], rtol=1e-5)
    # Adding a constant to a heatmap changes neither place nor probability.
    np.testing.assert_allclose(decode("grid", [maps + 50], box), decode("grid", [maps], box))


def test_empty_boxes_have_their_joints_in_a_pixel():
    maps = np.random.default_rng(0).normal(size=[1, 5, 8, 8])
    np.testing.assert_array_equal(
        decode("grid", maps, [[30, 40, 30, 40]])[..., :2], [[[30, 40]] * 5]
    )
    # The peers take a pixel for the smallest box, and give its centre.
    found = decode("detectron2", maps, [[30, 40, 30, 40]])
    np.testing.assert_allclose(found[..., :2], [[[30.5, 40.5]] * 5])
    assert np.isfinite(found).all()


def test_torchvisions_own_joints():
    golden = np.load(GOLDEN / "torchvision_keypoints.npz")
    boxes = golden["decoded.boxes"]
    maps = seeded_tensor("maps", (len(boxes), 3, 56, 56))
    found = decode("torchvision", maps, boxes)
    np.testing.assert_allclose(found[..., :2], golden["decoded.keypoints"][..., :2], atol=1e-3)
    np.testing.assert_allclose(found[..., 2], golden["decoded.scores"], atol=1e-5)


def test_detectron2s_own_joints():
    golden = np.load(GOLDEN / "detectron2_keypoint_rcnn.npz")
    x, y, logit, probability = np.moveaxis(golden["kpt.decoded"], -1, 0)
    for method, score in (("detectron2", probability), ("torchvision", logit)):
        found = decode(method, golden["kpt.maps"], golden["kpt.boxes"])
        np.testing.assert_allclose(found[..., 0], x, atol=1e-3)
        np.testing.assert_allclose(found[..., 1], y, atol=1e-3)
        np.testing.assert_allclose(found[..., 2], score, rtol=1e-5)


def test_grid_is_near_the_peers_on_heatmaps_with_one_peak():
    """Within half a cell of 1.8 x 5.4 px, although no heatmap is resized."""
    y, x = np.mgrid[:56, :56] + 0.5
    centres = np.random.default_rng(0).uniform(8, 48, [20, 2, 1, 1])
    maps = -((x - centres[:, :1]) ** 2 + (y - centres[:, 1:]) ** 2) / 18
    box = np.float32([[10, 20, 110, 320]] * 20)
    grid, exact = decode("grid", maps, box), decode("torchvision", maps, box)
    distance = np.abs(grid - exact)[..., :2].max(axis=(0, 1))
    assert (distance < [0.9, 2.7]).all()
