"""Which images make up which batch of a training: a function of seed and epoch alone."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

_ENDLESS = np.iinfo(np.int64).max


@dataclass(frozen=True)
class BatchOrder:
    """The batches of all passes over a data set, computed without reading an image.

    Images are in buckets, by default in one. Those of a bucket follow one another in the order of
    the epoch, and after an epoch in that of the next one; `batch_size` of them are a batch, which
    comes when its last image does. What is left in the buckets when a pass ends is batched
    together. So all batches but the last one of a pass are full, and there are as many as there
    are without buckets.

    Attributes:
        image_ids: int64 [N].
        batch_size: images a batch, of all workers together.
        shuffle: a new order every epoch.
        seed: of the order.
        initial_epoch: number of the first epoch.
        epochs: of a pass, or None for an endless one.
        drop_remainder: leave out the last batch of a pass if it is smaller.
        buckets: int [N], the bucket of each image, counted from 0.
        shard: (index, count) of a worker, whose rows of a batch are the index-th of count parts.
    """

    image_ids: np.ndarray
    batch_size: int
    shuffle: bool
    seed: int
    initial_epoch: int
    epochs: int | None
    drop_remainder: bool
    buckets: np.ndarray
    shard: tuple[int, int]

    def position(self, step: int) -> tuple[int, int]:
        """The pass that a step is in, and which step of that pass it is."""
        if self.epochs is None:
            return 0, step
        total = len(self.image_ids) * self.epochs
        steps = total // self.batch_size if self.drop_remainder else -(-total // self.batch_size)
        return divmod(step, max(steps, 1))

    def epoch_of(self, step: int) -> int:
        """The epoch, counted from the beginning of the pass, in which a step of it comes."""
        sizes = np.bincount(self.buckets)
        beyond = (step + len(sizes)) * self.batch_size // len(self.image_ids) + 2
        last = beyond if self.epochs is None else min(beyond, self.epochs)
        before = bisect.bisect_right(range(last), step, key=self._steps_before)
        return before - 1

    def rows(self, first_epoch: int, epoch: int, step: int) -> tuple[np.ndarray, np.ndarray]:
        """The worker's images of the batches that come in an epoch, batch after batch.

        Args:
            first_epoch: number of the epoch that the pass begins with.
            epoch: counted from the beginning of the pass.
            step: batches of the pass before this one are left out.

        Returns:
            Image ids and numbers of their epochs, int64 [rows] each.
        """
        size, orders = self.batch_size, {}
        complete, rest = [], []
        for bucket, images in enumerate(np.bincount(self.buckets).tolist()):
            if images:
                start, stop = (number * images // size * size for number in (epoch, epoch + 1))
                found = self._stretch(bucket, start, stop, first_epoch, orders)
                complete.append(found.reshape(-1, size, 3))
                if epoch + 1 == self.epochs:
                    end = self.epochs * images
                    rest.append(self._stretch(bucket, stop, end, first_epoch, orders))
        batches = np.concatenate(complete)
        found = batches[np.argsort(batches[:, -1, 1])].reshape(-1, 3)
        if rest:
            rest = np.concatenate(rest)
            rest = rest[np.lexsort((rest[:, 1], rest[:, 0]))]
            if self.drop_remainder:
                rest = rest[: len(rest) // size * size]
            found = np.concatenate([found, rest])
        epochs, _, indices = found.T

        index, count = self.shard
        row = np.arange(len(indices))
        mine = row % size // (size // count) == index
        mine &= row >= (step - self._steps_before(epoch)) * size
        return self.image_ids[indices[mine]], epochs[mine] + first_epoch

    def cardinality(self, initial_step: int) -> int:
        """Number of the worker's batches in a pass, unknown where the first pass has fewer."""
        if self.epochs is None:
            return tf.data.INFINITE_CARDINALITY
        if self.position(initial_step)[1]:
            return tf.data.UNKNOWN_CARDINALITY
        full, rest = divmod(len(self.image_ids) * self.epochs, self.batch_size)
        index, count = self.shard
        has_rest = rest > index * (self.batch_size // count) and not self.drop_remainder
        return full + has_rest

    def _steps_before(self, epoch: int) -> int:
        """Number of the batches that are complete when an epoch of a pass begins."""
        return int((epoch * np.bincount(self.buckets) // self.batch_size).sum())

    def _stretch(
        self, bucket: int, start: int, stop: int, first_epoch: int, orders: dict[int, np.ndarray]
    ) -> np.ndarray:
        """Epoch, position in it and index of some images, [stop - start, 3].

        They are counted along the images of the bucket, epoch after epoch from the pass's first.
        """
        images = np.count_nonzero(self.buckets == bucket)
        parts = [np.zeros((0, 3), np.int64)]
        for epoch in range(start // images, -(-stop // images)):
            if epoch not in orders:
                orders[epoch] = self._epoch_order(first_epoch + epoch)
            at = np.flatnonzero(self.buckets[orders[epoch]] == bucket)
            at = at[max(start - epoch * images, 0) : stop - epoch * images]
            parts.append(np.stack([np.full_like(at, epoch), at, orders[epoch][at]], axis=1))
        return np.concatenate(parts)

    def _epoch_order(self, epoch: int) -> np.ndarray:
        count = len(self.image_ids)
        if not self.shuffle:
            return np.arange(count)
        return np.random.default_rng([2, self.seed, epoch]).permutation(count)


def image_stream(order: BatchOrder, initial_step: int) -> tf.data.Dataset:
    """A dataset of (image id, epoch), int64 scalars: the images of all batches from a step on.

    Every pass over it goes on with the epoch after those of the passes before; an endless one with
    the first epoch that none of them has begun.
    """
    passes, step = order.position(initial_step)
    upcoming = [order.initial_epoch + passes * (order.epochs or 0), step]

    def begin_pass() -> tuple[np.int64, np.int64, np.int64]:
        epoch, step = upcoming
        upcoming[:] = epoch + (order.epochs or 0), 0
        return np.int64(epoch), np.int64(step), np.int64(order.epoch_of(step))

    def rows(first_epoch, epoch, step) -> tuple[np.ndarray, np.ndarray]:
        upcoming[0] = max(upcoming[0], int(first_epoch + epoch) + 1)
        return order.rows(int(first_epoch), int(epoch), int(step))

    def one_pass(_: tf.Tensor) -> tf.data.Dataset:
        first_epoch, step, epoch = tf.numpy_function(begin_pass, [], [tf.int64] * 3)

        def one_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
            found = tf.numpy_function(rows, [first_epoch, epoch, step], [tf.int64] * 2)
            for values in found:
                values.set_shape([None])
            return tf.data.Dataset.from_tensor_slices(tuple(found))

        for scalar in (first_epoch, step, epoch):
            scalar.set_shape([])
        return tf.data.Dataset.range(epoch, order.epochs or _ENDLESS).flat_map(one_epoch)

    return tf.data.Dataset.range(1).flat_map(one_pass)


def aspect_ratio_buckets(
    sizes: Sequence[tuple[int, int]], boundaries: Sequence[float]
) -> np.ndarray:
    """The bucket of each (height, width) by its width / height between the boundaries."""
    heights, widths = np.array(sizes, np.float64).T
    return np.searchsorted(boundaries, widths / heights, side="left")
