"""On which devices and machines a training runs, and which part of the data each one gets."""

import json
import os
import re
import signal
import sys
import threading
from collections.abc import Callable

import tensorflow as tf


def make_strategy(name: str = "auto") -> tf.distribute.Strategy:
    """The `tf.distribute` strategy of a training; call it before TensorFlow computes anything.

    Args:
        name: `"none"`: one device. `"mirrored"`: all GPUs of this machine, or all logical CPUs if
            there is none. `"multi_worker"`: all processes that `TF_CONFIG` names, or that Slurm has
            started. `"auto"`: several workers if `TF_CONFIG` names them, else several GPUs if
            there are, else none.

    Raises:
        ValueError: no description of the workers.

    Example:

    >>> with make_strategy("mirrored").scope():
    ...     model = MaskRCNN("resnet50", num_classes=2)
    """
    if name == "auto":
        several = len(tf.config.list_physical_devices("GPU")) > 1
        name = "mirrored" if several else "none"
        if _tasks_of_tf_config() > 1:
            name = "multi_worker"
    if name == "none":
        return tf.distribute.get_strategy()
    if name == "mirrored":
        kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
        return tf.distribute.MirroredStrategy(
            [device.name for device in tf.config.list_logical_devices(kind)]
        )
    if "TF_CONFIG" in os.environ:
        return _multi_worker(tf.distribute.cluster_resolver.TFConfigClusterResolver())
    if "SLURM_STEP_NODELIST" in os.environ:
        return _multi_worker(_slurm_resolver())
    raise ValueError(
        "strategy=multi_worker needs the addresses of all workers in TF_CONFIG, which "
        "scripts/launch_workers sets on one machine, or a start by Slurm's srun."
    )


def _slurm_resolver() -> tf.distribute.cluster_resolver.ClusterResolver:
    """The tasks of a Slurm step, each with the GPUs that it sees."""
    # TensorFlow's resolver divides the GPUs of a machine by itself, and fails where there are none:
    # with more of them than tasks it is used for the addresses alone.
    slurm = tf.distribute.cluster_resolver.SlurmClusterResolver(
        gpus_per_node=1024, gpus_per_task=1, auto_set_gpu=False
    )
    return tf.distribute.cluster_resolver.SimpleClusterResolver(
        slurm.cluster_spec(),
        task_type=slurm.task_type,
        task_id=slurm.task_id,
        num_accelerators={"GPU": len(tf.config.list_physical_devices("GPU"))},
        rpc_layer="grpc",
    )


def _multi_worker(
    resolver: tf.distribute.cluster_resolver.ClusterResolver,
) -> tf.distribute.MultiWorkerMirroredStrategy:
    tasks = _tasks(resolver)
    own = f"{resolver.task_type} {resolver.task_id}"
    others = ", ".join(f"{task} ({address})" for task, address in tasks.items() if task != own)
    if others:
        print(f"{own} waits for {others}", file=sys.stderr, flush=True)
    # TensorFlow takes SIGTERM for itself, and the process would no longer end by it.
    handler = signal.getsignal(signal.SIGTERM)
    strategy = tf.distribute.MultiWorkerMirroredStrategy(resolver)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler or signal.SIG_DFL)
    return strategy


def _tasks(resolver: tf.distribute.cluster_resolver.ClusterResolver) -> dict[str, str]:
    jobs = resolver.cluster_spec().as_dict()
    return {f"{job} {i}": address for job in jobs for i, address in enumerate(jobs[job])}


def as_lost_worker(
    error: tf.errors.OpError, strategy: tf.distribute.Strategy
) -> ConnectionError | None:
    """What to say when another worker is gone, or None if the error is another one.

    TensorFlow notices a process that has ended at once and one that does not answer in about ten
    seconds, and then ends whatever waits for it, with an error of several kinds.
    """
    _, found, reason = error.message.partition("Collective ops is aborted by")
    if not found:
        return None
    names = re.findall(r"/job:(\w+)/(?:replica:\d+/)?task:(\d+)", reason)
    tasks = _tasks(strategy.cluster_resolver)
    # The first task is the one that the others report to; without it nobody can be named.
    task = " ".join(names[-1]) if names else next(iter(tasks))
    return ConnectionError(
        f"{task} ({tasks.get(task)}) has ended or does not answer, and no worker can go on without "
        "it. Its own output says why; then start all workers again."
    )


def _tasks_of_tf_config() -> int:
    cluster = json.loads(os.environ.get("TF_CONFIG") or "{}").get("cluster", {})
    return sum(len(addresses) for job, addresses in cluster.items() if job in ("chief", "worker"))


def distribute(
    strategy: tf.distribute.Strategy,
    part_of_batches: Callable[[int, int], tf.data.Dataset],
    batch_size: int,
) -> tf.data.Dataset | tf.distribute.DistributedDataset:
    """Batches of which each worker reads its part and each replica gets its own.

    Args:
        strategy: of the model.
        part_of_batches: `(index, count)` to the dataset of one of `count` workers, with the
            images of every batch that are its own.
        batch_size: images of all replicas together.

    Raises:
        ValueError: the images cannot be divided evenly among the replicas.
    """
    count = strategy.num_replicas_in_sync
    if batch_size % count:
        raise ValueError(
            f"A batch of {batch_size} images cannot be divided among {count} replicas; make "
            f"batch_size (over accumulate) a multiple of {count}."
        )
    if count == 1:
        return part_of_batches(0, 1)

    def of_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
        part = part_of_batches(context.input_pipeline_id, context.num_input_pipelines)
        return part.rebatch(batch_size // count)

    return strategy.distribute_datasets_from_function(of_worker)
