import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from mrcnn_tf.export import describe_saved_model
from mrcnn_tf.export.serving import serving_functions
from mrcnn_tf.layers.conv_norm import ConvNorm
from mrcnn_tf.models import Predictor
from mrcnn_tf.models.predictor import read_upright_image
from mrcnn_tf.ops import RESIZE_METHODS, resize_image

from .conftest import blocks

NAMES = ["boxes", "classes", "keypoints", "masks", "num_detections", "scores"]
IMAGES = blocks(3, 96, 128)
IMAGE_SIZES = np.array([[96, 128], [90, 64], [33, 100]], np.int32)
PHOTOS = blocks(3, 150, 110, seed=1)
FILES = [blocks(1, *size, seed=2)[0] for size in ((150, 110), (64, 200), (96, 96))]
FILES = [tf.io.encode_png(image).numpy() for image in FILES]


@pytest.fixture(scope="module")
def served(exported, tmp_path_factory):
    """Outputs of every signature, from a process that has TensorFlow and not this package."""
    folder = tmp_path_factory.mktemp("process")
    np.savez(
        folder / "inputs.npz",
        **{
            "serving_default/3/images": IMAGES,
            "serving_default/1/images": IMAGES[1:2],
            "serve_padded/3/images": IMAGES,
            "serve_padded/3/image_sizes": IMAGE_SIZES,
            "serve_images/3/images": PHOTOS,
            "serve_images/1/images": PHOTOS[2:],
            "serve_bytes/3/image_bytes": np.array(FILES, object),
            "serve_bytes/1/image_bytes": np.array(FILES[2:], object),
        },
    )
    program = Path(__file__).with_name("served_program.py").resolve()
    arguments = [exported, folder / "inputs.npz", folder / "outputs.npz"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-I", program, *arguments],
        cwd=folder,
        env=environment | {"CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return np.load(folder / "outputs.npz")


def outputs_of(served, call):
    return {name.rpartition("/")[2]: served[name] for name in served if name.startswith(f"{call}/")}


def assert_equal(served, call, expected, rows=slice(None)):
    outputs = outputs_of(served, call)
    assert sorted(outputs) == NAMES
    for name in NAMES:
        assert outputs[name].dtype == expected[name].dtype, name
        np.testing.assert_allclose(
            outputs[name], expected[name][rows], rtol=1e-4, atol=1e-5, err_msg=f"{call}/{name}"
        )


def test_serving_default_equals_predict(tiny_model, served):
    expected = tiny_model.predict(IMAGES, verbose=0)
    counts = expected["num_detections"]
    assert counts.min() > 0 and counts.min() < expected["boxes"].shape[1]
    assert len(np.unique(expected["classes"])) > 2
    assert expected["masks"].std() > 0.1
    assert_equal(served, "serving_default/3", expected)
    assert_equal(served, "serving_default/1", expected, slice(1, 2))


def test_serve_padded_equals_predict_with_image_sizes(tiny_model, served):
    expected = tiny_model.predict({"images": IMAGES, "image_sizes": IMAGE_SIZES}, verbose=0)
    assert_equal(served, "serve_padded/3", expected)
    limits = np.tile(IMAGE_SIZES[:, None, ::-1], (1, 1, 2))
    assert (served["serve_padded/3/boxes"] <= limits).all()
    assert (served["serve_padded/3/num_detections"] > 0).all()


def assert_equal_predictor(served, call, predictions):
    outputs = outputs_of(served, call)
    for row, expected in enumerate(predictions):
        count = outputs["num_detections"][row]
        assert count == len(expected["boxes"]) > 0
        for name in ("boxes", "classes", "scores", "masks", "keypoints"):
            output = outputs[name][row]
            np.testing.assert_allclose(output[:count], expected[name], rtol=1e-4, atol=1e-4)
            assert np.isin(output[count:], [0, -1]).all()


def test_serve_images_equals_predictor(tiny_model, served):
    predictor = Predictor(tiny_model, score_threshold=0.0)
    assert_equal_predictor(served, "serve_images/3", predictor(list(PHOTOS)))
    # Boxes are in the pixels of the image given, 150 x 110, which was made smaller: 128 x 94.
    corners = served["serve_images/3/boxes"].max(axis=(0, 1))
    assert corners[2] > 94 and corners[3] > 128
    assert (corners <= [110, 150, 110, 150]).all()
    for name in NAMES:
        np.testing.assert_allclose(
            served[f"serve_images/1/{name}"],
            served[f"serve_images/3/{name}"][2:],
            rtol=1e-4,
            atol=1e-4,
        )


def test_serve_bytes_equals_predictor_on_files(tiny_model, served, tmp_path):
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for path, content in zip(paths, FILES, strict=True):
        path.write_bytes(content)
    predictor = Predictor(tiny_model, score_threshold=0.0)
    # One at a time, and in one padded batch, along whose edges features are others.
    assert_equal_predictor(served, "serve_bytes/1", predictor(paths[2]))
    batch = predictor.predict_batch([read_upright_image(path) for path in paths])
    assert_equal_predictor(served, "serve_bytes/3", batch)
    sizes = outputs_of(served, "serve_bytes/3")["image_sizes"]
    np.testing.assert_array_equal(sizes, [[150, 110], [64, 200], [96, 96]])


@pytest.mark.parametrize("method", RESIZE_METHODS)
def test_serve_images_resizes_as_the_model_says(method):
    class Echo:
        image_size, image_resize = (64, 100), method

        def __call__(self, inputs, training):
            images = inputs["images"]
            return {"boxes": tf.zeros([tf.shape(images)[0], 1, 4]), "images": images}

    functions = serving_functions(Echo())
    resized = functions["serve_images"](PHOTOS)["images"].numpy()
    expected = np.stack([resize_image(photo, 64, 100, method) for photo in PHOTOS])
    # Pillow, which resizes for the predictor of "detectron2", is not in the graph.
    np.testing.assert_allclose(resized, expected, atol=1 if method == "detectron2" else 1e-4)
    assert np.mean(np.abs(resized - expected) > 0.5) < 0.03
    np.testing.assert_array_equal(functions["serving_default"](PHOTOS)["images"], PHOTOS)


def test_the_folder(exported, tiny_model):
    labels = json.loads((exported / "assets" / "labels.json").read_text("utf-8"))
    assert labels == {
        "class_names": ["cell", "Zellkern", "細胞"],
        "category_ids": [7, 1, 90],
        "keypoint_names": ["pole", "equator", "nucleus"],
        "keypoint_skeleton": [[0, 1], [1, 2]],
        "keypoint_classes": [0, 2],
    }
    graph = saved_model_pb2.SavedModel.FromString((exported / "saved_model.pb").read_bytes())
    assert [asset.filename for asset in graph.meta_graphs[0].asset_file_def] == ["labels.json"]
    # Keras's metrics and optimizer stay behind, and of each folded unit's five variables are two
    # left.
    stored = tf.train.list_variables(str(exported / "variables" / "variables"))
    units = [layer for layer in tiny_model._flatten_layers() if isinstance(layer, ConvNorm)]
    expected = len(tiny_model.weights) - 3 * len(units)
    assert len(units) == 20
    assert sum(name.startswith("weights/") for name, _ in stored) == expected
    # Another user, such as a server's, may read it, and nothing else is left beside it.
    assert stat.S_IMODE(exported.stat().st_mode) == 0o777 & ~current_umask()
    assert [path.name for path in exported.parent.iterdir()] == ["1"]


def current_umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_description_names_every_signature(exported):
    text = describe_saved_model(exported)
    names = [line.strip() for line in text.splitlines() if not line.startswith("   ")]
    assert names == ["portable", "serve_bytes", "serve_images", "serve_padded", "serving_default"]
    assert "    in  images: uint8 [None, None, None, 3]\n" in text
    assert "    in  image_bytes: string [None]\n" in text
    assert "    in  image_sizes: int32 [None, 2]\n" in text
    assert "    out masks: float32 [None, 16, 28, 28]\n" in text
    # The server batches along the first dimension; `portable` is for those who convert.
    served = text.partition("serve_bytes")[2]
    assert served.count("[None") == served.count("[")


def test_only_a_saved_model_is_replaced(tmp_path, tiny_model, exported):
    with pytest.raises(FileExistsError, match="already holds an export"):
        tiny_model.export(exported, overwrite=False)
    (tmp_path / "a.jpg").write_bytes(b"precious")
    for target in (tmp_path, tmp_path / "a.jpg"):
        with pytest.raises(FileExistsError, match="exists and holds no saved_model.pb"):
            tiny_model.export(target)
    assert [path.name for path in tmp_path.iterdir()] == ["a.jpg"]


def test_a_failed_export_leaves_what_was_there(tmp_path, tiny_model, monkeypatch):
    target = tmp_path / "1"
    target.mkdir()
    (target / "saved_model.pb").write_bytes(b"old")

    def fail(*args, **kwargs):
        raise OSError("No space left on device")

    monkeypatch.setattr(tf.saved_model, "save", fail)
    monkeypatch.setattr("mrcnn_tf.export.saved_model.serving_functions", lambda *args: {})
    monkeypatch.setattr("mrcnn_tf.export.saved_model.portable_function", lambda *_, **__: None)
    monkeypatch.setattr("mrcnn_tf.export.saved_model.describe_saved_model", lambda folder: "")
    with pytest.raises(OSError, match="No space left"):
        tiny_model.export(target)
    assert (target / "saved_model.pb").read_bytes() == b"old"

    def write(module, folder, **kwargs):
        Path(folder).mkdir()
        (Path(folder) / "saved_model.pb").write_bytes(b"")

    monkeypatch.setattr(tf.saved_model, "save", write)
    tiny_model.export(target, verbose=False)
    assert (target / "saved_model.pb").read_bytes() == b""
    assert [path.name for path in tmp_path.iterdir()] == ["1"]
