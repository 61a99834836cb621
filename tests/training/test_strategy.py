import json

import pytest
import tensorflow as tf

from mrcnn_tf.training.strategy import (
    _slurm_resolver,
    as_lost_worker,
    distribute,
    make_strategy,
)

WORKERS = ["localhost:8888", "localhost:8889", "localhost:8890"]


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch):
    for name in ("TF_CONFIG", "SLURM_STEP_NODELIST"):
        monkeypatch.delenv(name, raising=False)


def test_one_device_needs_no_strategy(monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": {"worker": WORKERS[:1]}}))
    for name in ("none", "auto"):
        assert make_strategy(name) is tf.distribute.get_strategy()
    monkeypatch.delenv("TF_CONFIG")
    with pytest.raises(ValueError, match="scripts/launch_workers sets"):
        make_strategy("multi_worker")


def test_workers_of_slurm(monkeypatch):
    variables = {"NODELIST": "node[3,5]", "NUM_TASKS": "3", "TASKS_PER_NODE": "2,1"}
    for name, value in variables.items():
        monkeypatch.setenv(f"SLURM_STEP_{name}", value)
    monkeypatch.setenv("SLURM_PROCID", "2")
    resolver = _slurm_resolver()
    assert resolver.cluster_spec().as_dict() == {
        "worker": ["node3:8888", "node3:8889", "node5:8888"]
    }
    assert (resolver.task_type, resolver.task_id) == ("worker", 2)


class Cluster:
    """A strategy of three workers, as far as it is asked here."""

    num_replicas_in_sync = 3
    cluster_resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": WORKERS}), "worker", 0
    )


def test_images_that_cannot_be_divided():
    with pytest.raises(ValueError, match="batch of 4 images cannot be divided among 3 replicas"):
        distribute(Cluster(), None, 4)


def test_the_lost_worker_is_found_in_what_tensorflow_says():
    reset = (
        "Collective ops is aborted by: recvmsg:Connection reset by peer\nAdditional GRPC error "
        "information from remote target /job:worker/replica:0/task:2 while calling RecvBuf"
    )
    heartbeat = (
        "Collective ops is aborted by: Error reported from /job:worker/task:2: The following "
        "tasks are unhealthy (stopped sending heartbeats):\n/job:worker/replica:0/task:1\n"
    )
    leader = "Collective ops is aborted by: Deadline Exceeded\n\nRPC: /Heartbeat"
    for text, task in ((reset, 2), (heartbeat, 1), (leader, 0)):
        error = tf.errors.UnavailableError(None, None, f"Graph execution error:\n{text}")
        found = str(as_lost_worker(error, Cluster()))
        assert found.startswith(f"worker {task} ({WORKERS[task]}) has ended"), found
    other = tf.errors.InternalError(None, None, "Out of luck")
    assert as_lost_worker(other, Cluster()) is None
