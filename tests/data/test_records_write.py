import json
import os
import random
import shutil
import subprocess
import sys
import time

import pytest

from mrcnn_tf.data import CocoDataset, RecordDataset, find_split, shapes, verify_records
from mrcnn_tf.data.records_write import write_records
from tests.data.coco_folder import blob, random_folder


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return CocoDataset(*random_folder(tmp_path_factory.mktemp("data") / "coco", 7).write())


@pytest.fixture(scope="module")
def undisturbed(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    write_records(source, folder, shards=3)
    return folder


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_manifest_tells_what_there_is(source, undisturbed):
    manifest = json.loads((undisturbed / "manifest.json").read_text())
    assert manifest["categories"] == [{"id": 3, "name": "cat"}, {"id": 7, "name": "dog"}]
    assert (manifest["images"], manifest["objects"], manifest["skipped"]) == (7, 28, {})
    assert [shard["images"] for shard in manifest["shards"]] == [3, 2, 2]
    assert manifest["source"]["annotations"]["bytes"] == source.annotation_file.stat().st_size
    assert len(list(undisturbed.iterdir())) == 7  # three shards, their indices, the manifest


class Killed(BaseException):
    pass


@pytest.mark.parametrize("is_before", [True, False])
def test_whatever_the_moment_a_stopped_conversion_goes_on_to_the_same_bytes(
    source, undisturbed, tmp_path, monkeypatch, is_before
):
    replace = os.replace

    def replace_and_count(*paths):
        nonlocal left
        left -= 1
        if left == 0 and is_before:
            raise Killed
        replace(*paths)
        if left == 0:
            raise Killed

    monkeypatch.setattr(os, "replace", replace_and_count)
    # the plan, then every shard with its index and the note that it is whole, then the manifest
    for moment in range(1, 12):
        folder = tmp_path / str(moment)
        left = moment
        with pytest.raises(Killed):
            write_records(source, folder, shards=3)
        (folder / "train-00001-of-00003.tfrecord.99999.writing").write_bytes(b"x")
        done = []
        write_records(source, folder, shards=3, on_progress=done.append)
        whole = max(moment - 1 - is_before, 0) // 3
        assert sum(done) == 7 and done[0] == [0, 3, 5, 7][whole]
        assert contents(folder) == contents(undisturbed)
    left = 12
    write_records(source, tmp_path / "whole", shards=3)
    assert left == 1  # so there was no other moment


def test_a_folder_is_of_one_conversion(source, undisturbed, tmp_path):
    folder = shutil.copytree(undisturbed, tmp_path / "records")
    with pytest.raises(FileExistsError, match=r"another way \(options differ\); give another"):
        write_records(source, folder, shards=2)
    images, annotations = source.images_folder, source.annotation_file
    with pytest.raises(FileExistsError, match=r"\(source differ\)"):
        write_records(CocoDataset(images, annotations, image_ids=5), folder, shards=3)
    assert contents(folder) == contents(undisturbed)
    for shards in (0, 8):
        with pytest.raises(ValueError, match="shards must be 1 to 7"):
            write_records(source, tmp_path / "other", shards=shards)
    with pytest.raises(ValueError, match="workers must be at least 1"):
        write_records(source, tmp_path / "other", workers=0)


def test_damage_is_found_named_and_repaired(source, undisturbed, tmp_path):
    folder = shutil.copytree(undisturbed, tmp_path / "records")
    assert verify_records(folder) == {}
    first, second, third = sorted(folder.glob("*.tfrecord"))
    content = bytearray(first.read_bytes())
    content[5] ^= 1  # in the length of the first record
    first.write_bytes(content)
    content = bytearray(second.read_bytes())
    content[-30] ^= 1
    second.write_bytes(content)
    third.unlink()
    third.with_suffix(".index.npy").write_bytes(b"")
    done = []
    assert verify_records(folder, done.append) == {
        first.name: "has another hash than the manifest says, between its records",
        second.name: "has another hash than the manifest says, in 1 records: 1 (image id 14)",
        third.name: "is missing",
        "train-00002-of-00003.index.npy": "has 0 bytes instead of 344",
    }
    assert done == [3, 2, 2]
    for path in (first, second):
        path.unlink()
    write_records(source, folder, shards=3)
    assert contents(folder) == contents(undisturbed)


def test_faults_stop_the_conversion_or_are_counted(tmp_path):
    folder = random_folder(tmp_path / "coco", num_images=4)
    broken = folder.images_folder / "0011.png"
    broken.write_bytes(broken.read_bytes()[:200])
    folder.add_object(12, blob(40, 56, 1), segmentation={"size": [40, 50], "counts": "abc"})
    folder.add_object(13, blob(56, 40, 1), segmentation=[[1, 1, 2, 2]])
    folder.add_object(13, blob(56, 40, 1), bbox=[1, 1, 0, 5])
    files = folder.write()
    with (
        pytest.warns(UserWarning, match="box without area"),
        pytest.raises(ValueError, match=r"0011\.png cannot be decoded"),
    ):
        write_records(CocoDataset(*files), tmp_path / "raised")
    with pytest.raises(ValueError, match=r"train\.json: annotation 17 of image 12: run lengths"):
        write_records(CocoDataset(*files, image_ids=[10, 12]), tmp_path / "raised again")

    with pytest.warns(UserWarning, match="box without area"):
        dataset = CocoDataset(*files, on_error="skip")
    done = []
    manifest = write_records(dataset, tmp_path / "skipped", shards=2, on_progress=done.append)
    assert sum(done) == 4 and (manifest["images"], manifest["objects"]) == (3, 12)
    assert RecordDataset(tmp_path / "skipped").image_ids == [10, 12, 13]
    assert RecordDataset(tmp_path / "skipped").skipped == {
        "annotation with a malformed segmentation": 1,
        "box without area": 1,
        "image file unusable": 1,
        "mask without pixels": 1,
    }
    assert RecordDataset(tmp_path / "skipped").object_counts().tolist() == [4, 5, 5]


@pytest.mark.slow
def test_killed_at_random_moments(tmp_path):
    shapes.generate(tmp_path / "photos", 600, image_size=160, progress=False)
    dataset = CocoDataset(*find_split(tmp_path / "photos", "train"))
    write_records(dataset, tmp_path / "undisturbed", shards=20, keypoints=True)
    words = ["data", "convert", str(tmp_path / "photos"), str(tmp_path / "killed")]
    words += ["--split", "train", "--shards", "20", "--keypoints", "--workers", "2"]
    program = "import sys; from mrcnn_tf.cli.main import main; sys.exit(main(sys.argv[1:]))"
    killed = 0
    moments = random.Random(0)
    while True:
        running = subprocess.Popen([sys.executable, "-c", program, *words])
        whole = len(list((tmp_path / "killed").glob("*.index.npy"))) + moments.randint(1, 4)
        while running.poll() is None:
            if len(list((tmp_path / "killed").glob("*.index.npy"))) >= whole:
                time.sleep(moments.uniform(0, 0.2))
                running.kill()
            time.sleep(0.01)
        if running.returncode == 0:
            break
        killed += 1
    assert killed >= 3
    assert contents(tmp_path / "killed") == contents(tmp_path / "undisturbed")
