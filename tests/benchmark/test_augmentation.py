import pytest

from mrcnn_tf.benchmark.augmentation import CASES, time_augmentation
from tests.data.coco_folder import random_folder


def test_every_step_is_timed(tmp_path):
    files = random_folder(tmp_path / "photos", num_images=2).write()
    told = []
    rows = time_augmentation(*files, (40, 60), count=2, rounds=1, tell=told.append)
    assert told == ["round 0", "round 1"]
    assert [row["case"] for row in rows] == list(CASES) and rows[0]["ratio"] == 1
    for row in rows:
        assert row["milliseconds"] > 0
        assert row["ratio"] == pytest.approx(row["milliseconds"] / rows[0]["milliseconds"])
