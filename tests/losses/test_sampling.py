from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from mrcnn_tf.losses import random_priorities, sample

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "detectron2_units.npz")


def draw(labels, num_samples, fraction):
    labels = tf.constant(labels, tf.int32)
    priorities = random_priorities(0, tf.constant(0), tf.range(labels.shape[0]), labels.shape[1])
    return [value.numpy() for value in sample(labels, priorities, num_samples, fraction)]


def test_counts_and_order():
    rng = np.random.default_rng(0)
    labels = rng.choice([1, 0, -1], p=[0.3, 0.5, 0.2], size=(4, 200))
    indices, is_positive, is_valid = draw(labels, 40, 0.25)
    assert is_valid.all() and (is_positive.sum(axis=1) == 10).all()
    for row in range(4):
        assert (np.diff(is_positive[row].astype(int)) <= 0).all()  # positives first
        np.testing.assert_array_equal(labels[row, indices[row]], is_positive[row])
        assert len(set(indices[row])) == 40  # no row twice


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        # positives, negatives, ignored rows of 16 samples, at most half of them positive
        ((0, 30, 4), (0, 16)),  # an image without objects learns from background
        ((3, 30, 0), (3, 13)),  # negatives stand in for missing positives
        ((30, 5, 2), (8, 5)),  # but positives never for negatives
        ((2, 3, 6), (2, 3)),  # fewer rows than samples
        ((0, 0, 9), (0, 0)),
        ((0, 0, 0), (0, 0)),
    ],
)
def test_numbers_found(counts, expected):
    labels = np.repeat([1, 0, -1], counts)[None]
    indices, is_positive, is_valid = draw(labels, 16, 0.5)
    assert indices.shape == is_positive.shape == is_valid.shape == (1, 16)
    assert (is_positive.sum(), (is_valid & ~is_positive).sum()) == expected
    assert is_valid[0, : sum(expected)].all() and not is_valid[0, sum(expected) :].any()
    assert not indices[~is_valid].any() and not is_positive[~is_valid].any()
    np.testing.assert_array_equal(labels[0, indices[is_valid]], is_positive[is_valid])


def test_images_of_a_batch_fill_up_differently():
    labels = [[1, 1, 1, 1, 0, -1], [0, 0, 0, 0, 0, 0], [-1, -1, -1, -1, -1, 1]]
    indices, is_positive, is_valid = draw(labels, 4, 0.5)
    np.testing.assert_array_equal(is_positive.sum(axis=1), [2, 0, 1])
    np.testing.assert_array_equal(is_valid.sum(axis=1), [3, 4, 1])
    assert indices[0, 2] == 4 and indices[2, 0] == 5
    for row in range(3):
        alone = draw(labels[row : row + 1], 4, 0.5)
        np.testing.assert_array_equal(is_positive[row], alone[1][0])
        np.testing.assert_array_equal(is_valid[row], alone[2][0])


def test_every_row_has_the_same_chance():
    indices, _, _ = draw(np.zeros((300, 10), int), 2, 0.5)
    counts = np.bincount(indices.reshape(-1), minlength=10)
    assert counts.min() > 30 and counts.max() < 95  # 60 expected, deviation 7


def test_priorities_depend_on_seed_step_and_image_alone():
    def priorities(seed, step, ids):
        return random_priorities(seed, tf.constant(step), tf.constant(ids), 50).numpy()

    batch = priorities(1, 7, [11, 12, 13])
    assert batch.shape == (3, 50) and (batch >= 0).all() and (batch < 1).all()
    np.testing.assert_array_equal(batch[1], priorities(1, 7, [12])[0])  # another position
    np.testing.assert_array_equal(batch[2], priorities(1, 7, [13, 99])[0])
    large = np.array([2**40 + 3], np.int64)  # ids are 64 bit
    assert not np.array_equal(priorities(1, 7, large), priorities(1, 7, [3]))
    others = [priorities(2, 7, [11])[0], priorities(1, 8, [11])[0], batch[1], batch[2]]
    for other in others:
        assert abs(np.corrcoef(batch[0], other)[0, 1]) < 0.5


def test_traces_with_unknown_shapes_and_gives_static_ones():
    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None], tf.int32),
            tf.TensorSpec([None], tf.int64),
            tf.TensorSpec([], tf.int64),
        ]
    )
    def traced(labels, ids, step):
        return sample(labels, random_priorities(0, step, ids, tf.shape(labels)[1]), 8, 0.5)

    assert [shape.as_list() for shape in traced.get_concrete_function().output_shapes] == [
        [None, 8]
    ] * 3
    labels = tf.constant([[1, 0, 0], [0, 0, 1]])
    for got, wanted in zip(
        traced(labels, tf.constant([0, 1], tf.int64), tf.constant(0, tf.int64)),
        draw(labels.numpy(), 8, 0.5),
        strict=True,
    ):
        np.testing.assert_array_equal(got, wanted)


def test_equals_detectron2_when_the_first_rows_come_first():
    # Its random permutation is replaced by index order, ours by priorities that fall with it.
    labels = GOLDEN["subsample.labels"]
    priorities = tf.linspace(0.9, 0.1, len(labels))[None]
    for case, (count, fraction) in enumerate(GOLDEN["subsample.cases"]):
        chosen = sample(
            tf.constant(labels[None], tf.int32), priorities, int(count), float(fraction)
        )
        indices, is_positive, is_valid = (value[0].numpy() for value in chosen)
        np.testing.assert_array_equal(indices[is_positive], GOLDEN[f"subsample.{case}.pos"])
        np.testing.assert_array_equal(
            indices[is_valid & ~is_positive], GOLDEN[f"subsample.{case}.neg"]
        )
