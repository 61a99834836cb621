import itertools
import socket
import subprocess
import sys

import pytest
import tensorflow as tf

from mrcnn_tf import data
from tests.data.coco_folder import random_folder

SETTINGS = {
    "batch_size": 2,
    "size": (40, 60),
    "shuffle": True,
    "flip": True,
    "scale_jitter": (0.5, 1.5),
    "repeat": True,
}
SERVER = f"""
import sys
import tensorflow as tf
from mrcnn_tf import data

images, annotations, index, port = sys.argv[1:]
first = tf.numpy_function(lambda: 1.0, [], tf.float64)  # names of functions are counted
batches = data.coco(images, annotations, shard=(int(index), 2), initial_step=1, **{SETTINGS})
server = data.BatchServer(batches, int(port))
print("ready", flush=True)
server.join()
"""


@pytest.mark.slow
def test_two_servers_give_the_stream_of_one_process(tmp_path):
    files = random_folder(tmp_path / "coco", num_images=7).write()
    ports = [str(_free_port()) for _ in range(2)]
    servers = []
    try:
        for index, port in enumerate(ports):
            command = [sys.executable, "-c", SERVER, *files, str(index), port]
            servers.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        assert [server.stdout.readline() for server in servers] == ["ready\n"] * 2
        served = data.read_served([f"localhost:{port}" for port in ports])
        # Step 1 of two workers is what follows two batches of one process.
        whole = data.coco(*files, **SETTINGS, initial_step=2)
        assert served.element_spec[1]["boxes"].shape.as_list() == [None, 100, 4]
        for first, second in itertools.islice(zip(served, whole, strict=True), 20):
            tf.nest.map_structure(tf.debugging.assert_equal, first, second)
    finally:
        for server in servers:
            server.kill()
            server.communicate()


def test_what_is_served_must_not_end():
    with pytest.raises(ValueError, match="repeat=True"):
        data.BatchServer(tf.data.Dataset.range(3), port=0)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]
