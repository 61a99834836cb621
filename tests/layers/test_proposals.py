import numpy as np
import tensorflow as tf

from mrcnn_tf.layers import Proposals
from tests.layers.layer_case import check_layer

FINE = [[0.0, 0, 20, 20], [2.0, 0, 22, 20], [40.0, 40, 60, 60], [70.0, 10, 90, 30]]
COARSE = [[0.0, 0, 20, 20], [50.0, 0, 100, 50]]
SIZES = [[64, 96]]


def propose(layer, logits, anchors=(FINE, COARSE), deltas=None, sizes=SIZES):
    """Outputs of the layer for `logits`, one list a level, one row an image."""
    logits = [tf.constant(level, tf.float32) for level in logits]
    anchors = [tf.constant(level, tf.float32) for level in anchors]
    if deltas is None:
        deltas = [tf.zeros([*level.shape, 4]) for level in logits]
    return [value.numpy() for value in layer(logits, deltas, anchors, tf.constant(sizes))]


def random_inputs(batch, seed=0, counts=(60, 20)):
    rng = np.random.default_rng(seed)
    logits = [rng.normal(size=(batch, n)).astype("float32") for n in counts]
    deltas = [tf.constant(rng.normal(0, 0.3, (batch, n, 4)).astype("float32")) for n in counts]
    corners = [rng.uniform(-20, 90, (n, 2)) for n in counts]
    anchors = [np.concatenate([c, c + rng.uniform(4, 60, c.shape)], axis=1) for c in corners]
    return {"logits": logits, "deltas": deltas, "anchors": anchors}


def test_serialisation_and_precision():
    inputs = random_inputs(2)
    check_layer(
        lambda **kwargs: Proposals(30, 20, 0.6, **kwargs),
        [
            [tf.constant(level) for level in inputs["logits"]],
            inputs["deltas"],
            [tf.constant(level, tf.float32) for level in inputs["anchors"]],
            tf.constant([[64, 96], [96, 40]]),
        ],
        num_weights=0,
        mixed_dtypes=["float32", "float32", "int32"],
    )


def test_doubles_fall_within_a_level_and_not_across():
    layer = Proposals(10, 6, 0.7)
    # FINE[1] overlaps FINE[0] with IoU 0.82; COARSE[0] is FINE[0] again, but of another level.
    boxes, logits, count = propose(layer, [[[3.0, 4, 1, -2]], [[5.0, 0]]])
    assert boxes.shape == (1, 6, 4) and count.tolist() == [5]
    np.testing.assert_array_equal(logits[0], [5, 4, 1, 0, -2, -np.inf])
    expected = [COARSE[0], FINE[1], FINE[2], [50, 0, 96, 50], FINE[3], [0, 0, 0, 0]]
    np.testing.assert_allclose(boxes[0], expected, atol=1e-4)


def test_top_n_before_and_after():
    logits = [[[3.0, 2.5, 1, 2]], [[5.0, 0]]]
    boxes, kept, count = propose(Proposals(2, 6, 0.7), logits)
    # Two of each level go in, FINE[1] falls as a double.
    assert count.tolist() == [3] and kept[0, :3].tolist() == [5, 3, 0]
    boxes, kept, count = propose(Proposals(10, 2, 0.7), logits)
    assert boxes.shape == (1, 2, 4) and count.tolist() == [2] and kept[0].tolist() == [5, 3]


def test_deltas_move_the_boxes_and_the_image_ends_them():
    deltas = [tf.constant([[[0.5, -0.25, np.log(2.0), 0.0]]])]
    boxes, _, _ = propose(Proposals(5, 1), [[[0.0]]], [[[20.0, 20, 40, 40]]], deltas)
    np.testing.assert_allclose(boxes[0, 0], [20, 15, 60, 35], atol=1e-4)
    boxes, _, _ = propose(Proposals(5, 1), [[[0.0]]], [[[20.0, 20, 40, 40]]], deltas, [[30, 50]])
    np.testing.assert_allclose(boxes[0, 0], [20, 15, 50, 30], atol=1e-4)


def test_no_box_leaves_the_real_image():
    sizes = [[64, 96], [40, 33], [1, 128]]
    boxes, logits, count = propose(Proposals(50, 30), **random_inputs(3), sizes=sizes)
    assert (boxes >= 0).all()
    for image, (height, width) in enumerate(sizes):
        assert boxes[image, :, 2].max() <= width and boxes[image, :, 3].max() <= height
        kept = boxes[image, : count[image]]
        assert (kept[:, 2:] > kept[:, :2]).all()  # nothing that clipping left without area
        assert (np.diff(logits[image, : count[image]]) <= 0).all()
    assert (count > 0).all()


def test_nothing_to_find():
    outside = [[[200.0, 0, 220, 20], [0.0, 90, 10, 99]]]
    boxes, logits, count = propose(Proposals(5, 4), [[[9.0, 9.0]]], outside)
    assert count.tolist() == [0] and not boxes.any() and (logits == -np.inf).all()
    # Numbers of a network that diverged are no boxes either.
    broken = [tf.constant([[[np.nan, 0, 0, 0], [0, 0, np.nan, 0], [0, 0, 0, 0], [0.0, 0, 0, 0]]])]
    boxes, _, count = propose(
        Proposals(5, 4),
        [[[1.0, 2.0, 0.0, -np.inf]]],
        [[FINE[0], FINE[2], FINE[3], FINE[2]]],
        broken,
    )
    assert count.tolist() == [1]
    np.testing.assert_allclose(boxes[0], [FINE[3], *np.zeros((3, 4))], atol=1e-4)


def test_an_image_does_not_depend_on_its_batch():
    inputs, sizes = random_inputs(3), [[64, 96], [40, 33], [90, 90]]
    layer = Proposals(50, 30)
    together = propose(layer, **inputs, sizes=sizes)
    for image in range(3):
        part = slice(image, image + 1)
        alone = propose(
            layer,
            [level[part] for level in inputs["logits"]],
            inputs["anchors"],
            [level[part] for level in inputs["deltas"]],
            sizes[part],
        )
        for whole, single in zip(together, alone, strict=True):
            np.testing.assert_allclose(whole[part], single, atol=1e-4)


def test_no_gradient_flows_through():
    logits, deltas = tf.constant([[1.0, 0.0, 0.5, 0.2]]), tf.zeros([1, 4, 4])
    with tf.GradientTape() as tape:
        tape.watch([logits, deltas])
        boxes, kept, _ = Proposals(4, 3)(
            [logits], [deltas], [tf.constant(FINE)], tf.constant(SIZES)
        )
        total = tf.reduce_sum(boxes) + tf.reduce_sum(kept)
    assert tape.gradient(total, [logits, deltas]) == [None, None]
