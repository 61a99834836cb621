import subprocess
import sys

import keras
import pytest
import tensorflow as tf

from mrcnn_tf import data
from tests.data.coco_folder import NATIVE, random_folder, rows


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return random_folder(tmp_path_factory.mktemp("data") / "coco", num_images=7).write()


def test_the_stream_depends_on_the_seed_and_the_epoch_only(files, tmp_path):
    settings = {
        "batch_size": 2,
        "size": (60, 90),
        "shuffle": True,
        "flip": True,
        "transpose": True,
        "scale_jitter": (0.5, 1.5),
    }
    first = data.coco(*files, **settings, seed=3)
    passes = [[(int(r["image_id"]), r["image"].tobytes()) for r in rows(first)] for _ in range(3)]
    orders = [[image_id for image_id, _ in one_pass] for one_pass in passes]
    assert all(sorted(order) == list(range(10, 17)) for order in orders)
    assert len({tuple(order) for order in orders}) == 3
    assert len({frozenset(one_pass) for one_pass in passes}) == 3

    again = data.coco(*files, **settings, seed=3, cache=True)
    for cached in (again, data.coco(*files, **settings, seed=3, cache=tmp_path / "cache")):
        for one_pass in passes:
            assert [(int(r["image_id"]), r["image"].tobytes()) for r in rows(cached)] == one_pass
    later = data.coco(*files, **settings, seed=3, initial_epoch=2)
    assert [(int(r["image_id"]), r["image"].tobytes()) for r in rows(later)] == passes[2]
    other = data.coco(*files, **settings, seed=4)
    assert [(int(r["image_id"]), r["image"].tobytes()) for r in rows(other)] != passes[0]
    endless = data.coco(*files, **settings, seed=3, repeat=True)
    unrolled = [(int(r["image_id"]), r["image"].tobytes()) for r in rows(endless.take(8))]
    assert unrolled[:14] == passes[0] + passes[1]


def test_a_later_step_and_the_parts_of_workers_are_those_of_the_whole_stream(files):
    settings = {
        "size": (40, 60),
        "shuffle": True,
        "flip": True,
        "scale_jitter": (0.5, 1.5),
        "bucket_by_aspect_ratio": True,
        "repeat": 2,
    }

    def batches(**changes):
        return [_batch(y, x) for x, y in data.coco(*files, **{**settings, **changes})]

    whole = batches(batch_size=4)
    assert [len(batch) for batch in whole] == [4, 4, 4, 2]
    shapes = [{image.shape[0] > image.shape[1] for _, image, _ in batch} for batch in whole]
    assert all(len(upright) == 1 for upright in shapes)
    assert _same(batches(batch_size=4, initial_step=2), whole[2:])
    for index in range(2):
        rows_of_worker = slice(2 * index, 2 * index + 2)
        part = [batch[rows_of_worker] for batch in whole if batch[rows_of_worker]]
        assert _same(batches(batch_size=2, shard=(index, 2)), part)
        assert _same(batches(batch_size=2, shard=(index, 2), initial_step=1), part[1:])


def _batch(y, x):
    """(id, image without padding, boxes) of each image of a batch."""
    found = list(rows([(x, y)]))
    return [(int(row["image_id"]), row["image"], row["boxes"]) for row in found]


def _same(first, second) -> bool:
    def fingerprint(batches):
        return [[(i, image.tobytes(), b.tobytes()) for i, image, b in batch] for batch in batches]

    return fingerprint(first) == fingerprint(second)


def test_number_of_batches(files):
    for settings, count in [
        ({}, 3),
        ({"drop_remainder": True}, 2),
        ({"repeat": 3}, 7),
        ({"repeat": True}, tf.data.INFINITE_CARDINALITY),
        ({"on_error": "skip"}, tf.data.UNKNOWN_CARDINALITY),
        ({"initial_step": 2}, tf.data.UNKNOWN_CARDINALITY),
        ({"initial_step": 3, "bucket_by_aspect_ratio": True}, 3),
        ({"initial_step": 8, "repeat": True}, tf.data.INFINITE_CARDINALITY),
    ]:
        dataset = data.coco(*files, batch_size=3, size=NATIVE, **settings)
        assert int(dataset.cardinality()) == count
        if count > 0:
            assert sum(1 for _ in dataset) == count


def test_fit_sees_one_pass_an_epoch_and_knows_its_length(files):
    class Recorder(keras.Model):
        def train_step(self, element):
            seen.append(element[1]["image_id"].numpy().tolist())
            return {"loss": 0.0}

    class Steps(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            steps.append(self.params["steps"])

    settings = {"batch_size": 3, "size": NATIVE, "shuffle": True, "seed": 1}
    seen, steps = [], []
    recorder = Recorder()
    recorder.compile(run_eagerly=True)
    recorder.fit(data.coco(*files, **settings), epochs=2, verbose=0, callbacks=[Steps()])
    reference = data.coco(*files, **settings)
    expected = [y["image_id"].numpy().tolist() for _ in range(2) for _, y in reference]
    assert seen == expected
    assert steps == [3]


REPLICAS = """
import sys
import tensorflow as tf
from mrcnn_tf import data

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["/CPU:0", "/CPU:1"])
dataset = data.coco(*sys.argv[1:], batch_size=2, size=(40, 56), drop_remainder=True)
for _, y in strategy.experimental_distribute_dataset(dataset):
    print([v.numpy().tolist() for v in strategy.experimental_local_results(y["image_id"])])
"""


@pytest.mark.slow
def test_replicas_share_a_batch(files):
    command = [sys.executable, "-c", REPLICAS, *files]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[[10], [11]]", "[[12], [13]]", "[[14], [15]]"]


LEFT_READING = """
import sys
from mrcnn_tf import data

iterator = iter(data.coco(*sys.argv[1:], batch_size=2, size=(200, 300), repeat=True))
next(iterator)
"""


def test_a_program_ends_while_a_dataset_reads_ahead(files):
    command = [sys.executable, "-c", LEFT_READING, *files]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "Error" not in done.stderr
