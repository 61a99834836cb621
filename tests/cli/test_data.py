import json

import pytest

from mrcnn_tf.cli.main import main
from mrcnn_tf.data import RecordDataset
from tests.data.coco_folder import random_folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = random_folder(tmp_path_factory.mktemp("data") / "photos", num_images=4)
    folder.categories[0]["keypoints"] = ["nose", "tail"]
    folder.write()
    return str(folder.root)


def test_convert_and_verify(photos, tmp_path, capsys):
    out = str(tmp_path / "records")
    words = ["data", "convert", photos, out, "--split", "train", "--shards", "2", "--keypoints"]
    for workers in ("2", "1"):  # the second has nothing left to do
        assert main([*words, "--workers", workers]) == 0
        printed = capsys.readouterr().out
        assert printed == f"4 images and 16 objects are in 2 shards (0.00 GB) in {out}\n"
    assert RecordDataset(out).keypoint_names == ["nose", "tail"]

    assert main(["data", "verify", out]) == 0
    assert capsys.readouterr().out == f"{out} is whole: 2 shards, 4 images\n"
    (tmp_path / "records" / "train-00001-of-00002.tfrecord").unlink()
    assert main(["data", "verify", out, "--debug"]) == 1
    printed = capsys.readouterr().out
    assert "train-00001-of-00002.tfrecord is missing\nDelete it in" in printed


def test_what_is_left_out_is_said_and_unusable_input_is_one_line(photos, tmp_path, capsys):
    folder = random_folder(tmp_path / "faulty", num_images=2)
    folder.images[1]["height"] = 41
    folder.write()
    words = ["data", "convert", str(folder.root), str(tmp_path / "records"), "--workers", "1"]
    assert main([*words, "--split", "train"]) == 2
    assert "annotations say 41 x 40. Correct" in capsys.readouterr().err
    skipping = ["--split", "train", "--skip-faulty"]
    assert main([*words, *skipping]) == 2
    assert "made in another way (options differ)" in capsys.readouterr().err
    words[3] = str(tmp_path / "others")
    assert main([*words, *skipping]) == 0
    assert "left out: image file unusable: 1\n" in capsys.readouterr().out
    assert json.loads((tmp_path / "others" / "manifest.json").read_text())["images"] == 1

    for arguments, message in (
        (["convert", words[3], "out", "--split", "train"], "holds records already"),
        (["convert", photos, "out", "--split", "val"], "val.json does not exist"),
        (["verify", photos], "holds no records"),
    ):
        assert main(["data", *arguments]) == 2
        assert message in capsys.readouterr().err
