from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from mrcnn_tf.boxes import MAX_LOG_SCALE, decode_boxes, encode_boxes

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "detectron2_units.npz")


def random_boxes(count, seed):
    rng = np.random.default_rng(seed)
    corner, size = rng.uniform(-20, 500, (count, 2)), rng.uniform(0.5, 300, (count, 2))
    return np.concatenate([corner, corner + size], axis=-1).astype("float32")


def test_decode_inverts_encode_whatever_the_weights():
    boxes, references = random_boxes(200, 0), random_boxes(200, 1)
    for weights in [(1.0, 1.0, 1.0, 1.0), (10.0, 10.0, 5.0, 5.0)]:
        deltas = encode_boxes(boxes, references, weights)
        assert deltas.dtype == tf.float32 and deltas.shape == (200, 4)
        reached = np.abs(deltas[:, 2:] / weights[2]) < MAX_LOG_SCALE  # decoding clamps the others
        np.testing.assert_allclose(
            decode_boxes(deltas, references, weights)[reached.all(axis=1)],
            boxes[reached.all(axis=1)],
            atol=2e-2,
        )
        assert reached.all(axis=1).sum() > 150


def test_weights_scale_the_deltas_and_leading_dimensions_broadcast():
    boxes, references = random_boxes(6, 2).reshape(2, 3, 4), random_boxes(1, 3)
    plain = encode_boxes(boxes, references)
    weighted = encode_boxes(boxes, references, (10.0, 10.0, 5.0, 5.0))
    np.testing.assert_allclose(weighted, plain * [10.0, 10.0, 5.0, 5.0], rtol=1e-6)
    np.testing.assert_allclose(plain[1, 2], encode_boxes(boxes[1, 2:], references)[0], rtol=1e-6)
    # A reference per row, a delta per class: [B, N, K, 4] against [B, N, 1, 4].
    decoded = decode_boxes(plain[:, :, None, :], boxes[:, :, None, :])
    assert decoded.shape == (2, 3, 1, 4)


def test_known_deltas():
    # Centre (5, 5) to (7, 10), 10 x 10 to 20 x 10.
    deltas = encode_boxes(tf.constant([-3.0, 5, 17, 15]), tf.constant([0.0, 0, 10, 10]))
    np.testing.assert_allclose(deltas, [0.2, 0.5, np.log(2.0), 0.0], atol=1e-6)


def test_sizes_are_clamped_but_shifts_are_not():
    reference = tf.constant([[0.0, 0, 16, 16]])
    boxes = decode_boxes(tf.constant([[0.0, 0, 50.0, 1e30], [100.0, -100, 0, 0]]), reference)
    np.testing.assert_allclose(boxes[0], [-492, -492, 508, 508], rtol=1e-5)  # 1000 px and no more
    np.testing.assert_allclose(boxes[1], [1600, -1600, 1616, -1584], rtol=1e-6)


@pytest.mark.parametrize("role", ["box", "reference"])
def test_boxes_without_area_give_finite_deltas(role):
    whole, empty = tf.constant([[0.0, 0, 10, 10]]), tf.constant([[4.0, 4, 4, 4]])
    inverted = tf.constant([[8.0, 8, 2, 2]])
    for degenerate in (empty, inverted):
        pair = (degenerate, whole) if role == "box" else (whole, degenerate)
        deltas = encode_boxes(*pair)
        assert np.isfinite(deltas).all()
        # As if the side were a thousandth of a pixel: log(1e-3 / 10), or its inverse.
        expected = np.log(1e-4) * (1 if role == "box" else -1)
        np.testing.assert_allclose(deltas[0, 2:], [expected] * 2, rtol=1e-5)


@pytest.mark.parametrize("case", ["rpn", "roi"])
def test_equals_detectron2(case):
    sources, targets = GOLDEN["b2b.src"], GOLDEN["b2b.dst"]
    weights = tuple(GOLDEN[f"b2b.{case}.weights"].tolist())
    np.testing.assert_allclose(
        encode_boxes(targets, sources, weights), GOLDEN[f"b2b.{case}.encode"], rtol=1e-5, atol=1e-5
    )
    # The last five deltas lie past the clamp log(1000 / 16).
    np.testing.assert_allclose(
        decode_boxes(GOLDEN["b2b.deltas_in"], sources, weights),
        GOLDEN[f"b2b.{case}.decode"],
        rtol=1e-5,
        atol=2e-3,
    )
