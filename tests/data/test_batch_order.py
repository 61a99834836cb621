import itertools

import numpy as np
import pytest
import tensorflow as tf

from mrcnn_tf.data.batch_order import BatchOrder, aspect_ratio_buckets, image_stream

NUM_IMAGES = 11


def make_order(**changes) -> BatchOrder:
    settings = {
        "image_ids": np.arange(100, 100 + NUM_IMAGES),
        "batch_size": 4,
        "shuffle": True,
        "seed": 5,
        "initial_epoch": 2,
        "epochs": 1,
        "drop_remainder": False,
        "buckets": np.zeros(NUM_IMAGES, int),
        "shard": (0, 1),
    }
    return BatchOrder(**{**settings, **changes})


def slow_pass(order: BatchOrder, first_epoch: int, epochs: int) -> list[list[tuple[int, int]]]:
    """The batches of a pass, image by image."""
    waiting, batches = {bucket: [] for bucket in set(order.buckets.tolist())}, []
    bucket_of = dict(zip(order.image_ids.tolist(), order.buckets.tolist(), strict=True))
    count = itertools.count()
    for epoch in range(first_epoch, first_epoch + epochs):
        ids = order.image_ids
        if order.shuffle:
            ids = np.random.default_rng([2, order.seed, epoch]).permutation(ids)
        for image_id in ids.tolist():
            bucket = waiting[bucket_of[image_id]]
            bucket.append((next(count), image_id, epoch))
            if len(bucket) == order.batch_size:
                batches.append([entry[1:] for entry in bucket])
                bucket.clear()
    rest = [entry[1:] for entry in sorted(itertools.chain(*waiting.values()))]
    batches += [rest[i : i + order.batch_size] for i in range(0, len(rest), order.batch_size)]
    if order.drop_remainder:
        batches = [batch for batch in batches if len(batch) == order.batch_size]
    return batches


def read(dataset: tf.data.Dataset) -> list[tuple[int, int]]:
    return [(int(i), int(epoch)) for i, epoch in dataset.as_numpy_iterator()]


BUCKETS = [
    np.zeros(NUM_IMAGES, int),
    np.array([0, 1, 1, 0, 1, 0, 0, 0, 0, 0, 1]),
    np.array([3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 3]),  # two images: a batch of them takes two epochs
]


@pytest.mark.parametrize("buckets", BUCKETS)
@pytest.mark.parametrize(("epochs", "drop_remainder"), [(1, False), (1, True), (3, False)])
def test_a_stream_from_any_step_is_that_of_an_image_by_image_reference(
    buckets, epochs, drop_remainder
):
    order = make_order(buckets=buckets, epochs=epochs, drop_remainder=drop_remainder)
    passes = [slow_pass(order, 2 + number * epochs, epochs) for number in range(3)]
    assert all(len(one) == order.cardinality(0) for one in passes)
    steps = len(passes[0])
    for step in range(2 * steps):
        dataset = image_stream(order, step)
        number, within = divmod(step, steps)
        assert read(dataset) == list(itertools.chain(*passes[number][within:]))
        assert read(dataset) == list(itertools.chain(*passes[number + 1]))
        known = order.cardinality(step) != tf.data.UNKNOWN_CARDINALITY
        assert known == (within == 0)


@pytest.mark.parametrize("buckets", BUCKETS)
def test_endless_batches_run_over_the_end_of_an_epoch(buckets):
    order = make_order(buckets=buckets, epochs=None)
    batches = [b for b in slow_pass(order, 2, 12) if len(b) == 4]
    for step in (0, 1, 2, 3, 7, 14):
        count = 15 if step < 3 else 5
        found = read(image_stream(order, step).take(4 * count))
        assert found == list(itertools.chain(*batches[step : step + count]))
    assert order.cardinality(7) == tf.data.INFINITE_CARDINALITY


@pytest.mark.parametrize("buckets", BUCKETS)
@pytest.mark.parametrize("drop_remainder", [False, True])
def test_workers_share_every_batch(buckets, drop_remainder):
    settings = {"buckets": buckets, "drop_remainder": drop_remainder, "epochs": 3, "batch_size": 6}
    expected = slow_pass(make_order(**settings), 2, 3)
    parts = []
    for index in range(3):
        order = make_order(**settings, shard=(index, 3))
        found = read(image_stream(order, 1))
        parts.append([found[i : i + 2] for i in range(0, len(found), 2)])
        assert len(parts[-1]) == order.cardinality(0) - 1
    together = [list(itertools.chain(*p)) for p in itertools.zip_longest(*parts, fillvalue=[])]
    assert together == expected[1:]


def test_a_late_step_of_a_large_data_set_needs_no_walk_through_the_epochs():
    count = 120_000
    ratios = np.random.default_rng(0).random(count) < 0.3
    order = make_order(
        image_ids=np.arange(count), buckets=ratios.astype(int), batch_size=16, epochs=None
    )
    calls = []
    object.__setattr__(order, "_epoch_order", lambda epoch: calls.append(epoch) or np.arange(count))
    next(iter(image_stream(order, 90_000)))
    assert set(calls) == {2 + 11, 2 + 12}


def test_buckets_are_intervals_of_width_over_height():
    sizes = [(480, 640), (640, 480), (500, 500), (100, 400)]
    assert aspect_ratio_buckets(sizes, (1.0,)).tolist() == [1, 0, 0, 1]
    assert aspect_ratio_buckets(sizes, (0.8, 1.0, 2.0)).tolist() == [2, 0, 1, 3]
    assert aspect_ratio_buckets(sizes, ()).tolist() == [0] * 4
