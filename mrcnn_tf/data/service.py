"""Batches read by other processes or machines, where one host cannot feed its GPUs."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

_NAME = "batches"


class BatchServer:
    """Serves the batches of a dataset to a training in another process, by `tf.data.service`.

    Images are read by functions of the process that made the dataset, which a worker of the
    service in any other process cannot call. So every server has a dispatcher and a worker of its
    own, in the process that calls `coco`, and `read_served` takes from the servers in turn.

    It serves one training: to go on with another, start it again, with `initial_step`.

    Args:
        batches: an endless dataset: `coco(..., repeat=True, shard=(index, count))` for the
            index-th of count servers.
        port: that readers connect to.
        host: the name by which readers reach this machine.

    Raises:
        ValueError: the dataset ends.

    Example:

    ```python
    import mrcnn_tf

    if __name__ == "__main__":
        batches = mrcnn_tf.data.coco(
            "photos/images", "photos/annotations/train.json", 2, shuffle=True, repeat=True,
            shard=(0, 2),
        )
        mrcnn_tf.data.BatchServer(batches, port=5050).join()
    ```
    """

    def __init__(self, batches: tf.data.Dataset, port: int, host: str = "localhost"):
        if int(batches.cardinality()) != tf.data.INFINITE_CARDINALITY:
            raise ValueError("what is served must not end: make it by coco(..., repeat=True)")
        service = tf.data.experimental.service
        self._batches = batches  # holds the functions that read images
        self._dispatcher = service.DispatchServer(service.DispatcherConfig(port=port))
        self._worker = service.WorkerServer(
            service.WorkerConfig(
                dispatcher_address=f"localhost:{port}", worker_address=f"{host}:%port%"
            )
        )
        service.register_dataset(self._dispatcher.target, batches, dataset_id=_NAME)

    def join(self) -> None:
        """Waits for ever."""
        self._dispatcher.join()


def read_served(addresses: Sequence[str]) -> tf.data.Dataset:
    """The batches of all servers, in turn.

    With the servers of `shard=(0, n)` to `(n - 1, n)` in this order, and without buckets, the
    stream is that of `coco(..., repeat=True)` in one process, batch by batch. With
    `bucket_by_aspect_ratio` it is one of the same form, n batches of one bucket after another.

    Args:
        addresses: `host:port` of each `BatchServer`.

    Example:

    >>> train = mrcnn_tf.data.read_served(["localhost:5050", "localhost:5051"])
    >>> model.fit(train, epochs=12, steps_per_epoch=7330)
    """
    service = tf.data.experimental.service
    parts = [
        service.from_dataset_id(service.ShardingPolicy.OFF, f"grpc://{address}", _NAME)
        for address in addresses
    ]
    turns = tf.data.Dataset.range(len(parts)).repeat()
    return tf.data.Dataset.choose_from_datasets(parts, turns).prefetch(tf.data.AUTOTUNE)
