"""What replicas and workers of a `tf.distribute` strategy need of each other."""

import contextlib
import json
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf


def count() -> int:
    """Replicas that run this code side by side: 1 outside of `strategy.run`."""
    context = tf.distribute.get_replica_context()
    return 1 if context is None else context.num_replicas_in_sync


def total(values):
    """The sum over replicas of a tensor or of each of a list: in all of them the same.

    Outside of `strategy.run`, and where there is one replica, the values themselves.
    """
    if count() == 1:
        return values
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, values)


@contextlib.contextmanager
def gradients_are_summed(optimizer) -> Iterator[None]:
    """Inside, a Keras optimizer takes the gradients as they are instead of adding up replicas.

    Keras clips the gradients of a replica before it adds them up, and a loss scale looks for
    overflow in them alone, so both do something else on two replicas than on one.
    """
    parts = _parts(optimizer)
    for part in parts:
        # Replicas are traced in threads that take turns inside of `apply`: the last one undoes.
        vars(part)["_inside"] = vars(part).get("_inside", 0) + 1
        vars(part)["_all_reduce_sum_gradients"] = list
    try:
        yield
    finally:
        for part in parts:
            vars(part)["_inside"] -= 1
            if not vars(part)["_inside"]:
                del vars(part)["_inside"], vars(part)["_all_reduce_sum_gradients"]


def _parts(optimizer) -> list:
    """The optimizers inside of one that scales the loss or that is made of several."""
    if hasattr(optimizer, "inner_optimizer"):
        return _parts(optimizer.inner_optimizer)
    if hasattr(optimizer, "optimizers"):
        return [part for inner in optimizer.optimizers for part in _parts(inner)]
    return [optimizer]


class Worker(NamedTuple):
    """One of the processes that train together, counted from 0; 0 is the chief."""

    index: int
    count: int


def worker(strategy: tf.distribute.Strategy | None = None) -> Worker:
    """Which worker of the strategy this process is: `Worker(0, 1)` if it is the only one."""
    resolver = getattr(strategy, "cluster_resolver", None)
    tasks = resolver.cluster_spec().as_dict() if resolver else {}
    chiefs, workers = (len(tasks.get(job, ())) for job in ("chief", "worker"))
    if chiefs + workers < 2:
        return Worker(0, 1)
    before = chiefs if resolver.task_type == "worker" else 0
    return Worker(resolver.task_id + before, chiefs + workers)


def gather(strategy: tf.distribute.Strategy, rows: list) -> list:
    """The rows of all workers, in all of them, in the order of the workers.

    Args:
        strategy: every worker has to call this at the same point.
        rows: what `json` can write.
    """
    if worker(strategy).count == 1:
        return rows
    text = (json.dumps(rows) + "\n").encode()
    # There is no collective of bytes.
    words = np.frombuffer(text.ljust(-(-len(text) // 4) * 4), np.int32)

    def part(context):
        # The other replicas of a worker have nothing to add.
        is_first = context.replica_id_in_sync_group % local == 0
        return tf.constant(words if is_first else words[:0])

    local = strategy.num_replicas_in_sync // worker(strategy).count
    parts = strategy.experimental_distribute_values_from_function(part)
    gathered = strategy.gather(parts, axis=0).numpy().tobytes().decode()
    return [row for line in gathered.splitlines() if line.strip() for row in json.loads(line)]
