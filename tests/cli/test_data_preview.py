import numpy as np
import pytest
from PIL import Image

from mrcnn_tf.cli.main import main
from mrcnn_tf.data import shapes
from tests.data.coco_folder import random_folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    shapes.generate(folder, 3, image_size=96, progress=False)
    return str(folder)


def preview(*words):
    return main(["data", "preview", *map(str, words)])


def test_images_are_drawn_as_the_settings_say(photos, tmp_path, capsys):
    sheets = {}
    for name, settings in {
        "plain": ["flip=false"],
        "again": ["flip=false"],
        "turned": ["rotation=20", "copy_paste=1", "erasing=1", "seed=3"],
    }.items():
        out = tmp_path / f"{name}.png"
        words = (photos, "--split", "train", "--out", out, "--images", 5, "image_size=96")
        assert preview(*words, *settings) == 0
        assert capsys.readouterr().out == f"5 images are in {out}\n"
        sheets[name] = np.asarray(Image.open(out))
    assert sheets["plain"].shape[1] == 8 + 4 * 104 and sheets["plain"].shape[0] > 2 * 104
    np.testing.assert_array_equal(sheets["plain"], sheets["again"])
    assert (sheets["plain"] != sheets["turned"]).mean() > 0.2
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "again.png",
        "plain.png",
        "turned.png",
    ]


def test_unusable_input_is_one_line(photos, tmp_path, capsys):
    faulty = random_folder(tmp_path / "faulty", num_images=1)
    faulty.images[0]["height"] = 41
    faulty.write()
    for words, message in (
        ((photos, "--split", "val"), "val.json does not exist"),
        ((photos, "--split", "train", "--images", 0), "--images must be at least 1, got 0"),
        ((photos, "--split", "train", "--out", "a.xyz"), "pictures are .png or .jpg files"),
        ((photos, "--split", "train", "rotatoin=3"), "'rotatoin' is not known"),
        ((photos, "--split", "train", "hue=3"), "hue must be between 0 and 0.5, got 3"),
        ((faulty.root, "--split", "train"), "annotations say 41 x 56. Correct"),
    ):
        assert preview(*words) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("mrcnn-tf: error") == 1
