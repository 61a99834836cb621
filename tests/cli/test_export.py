import importlib.util
import sys

import numpy as np
import pytest
import tensorflow as tf

from mrcnn_tf.cli.main import main
from mrcnn_tf.export import custom_ops, read_portable
from mrcnn_tf.models import MaskRCNN, Predictor, load
from mrcnn_tf.ops import OpsUnavailableError


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    model = MaskRCNN(
        "resnet18",
        num_classes=2,
        mask=False,
        image_size=(64, 64),
        fpn_channels=16,
        rpn_pre_nms_top_n=(16, 16),
        rpn_post_nms_top_n=(8, 8),
        box_fc=(8,),
        sampling_ratio=1,
        max_detections=4,
    )
    path = tmp_path_factory.mktemp("models") / "tiny.keras"
    model.save(path)
    return str(path)


def test_export_writes_exactly_out(model_file, tmp_path, capsys):
    out = tmp_path / "boxes"
    out.mkdir()
    (out / "saved_model.pb").write_bytes(b"old")
    assert main(["export", model_file, str(out)]) == 2
    assert "already holds an export" in capsys.readouterr().err
    assert (out / "saved_model.pb").read_bytes() == b"old"

    assert main(["export", model_file, str(out), "--overwrite"]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["boxes"]
    printed = capsys.readouterr().out
    assert f"{out} is written" in printed
    assert "serving_default\n    in  images: uint8 [None, None, None, 3]" in printed
    assert "out boxes: float32 [None, 4, 4]" in printed and "masks" not in printed
    assert f"TF Serving looks for numbered versions: to serve it, write to {out / '1'}" in printed
    loaded = tf.saved_model.load(str(out))
    outputs = loaded.serve_images(tf.zeros([2, 40, 90, 3], tf.uint8))
    assert sorted(outputs) == ["boxes", "classes", "num_detections", "scores"]
    assert outputs["boxes"].shape == (2, 4, 4)


def test_options_of_a_saved_model(model_file, tmp_path, capsys):
    out = tmp_path / "boxes" / "1"
    options = ["--custom-ops", "--weights-dtype", "bfloat16"]
    has_messages = importlib.util.find_spec("tensorflow_serving") is not None
    options += ["--warmup"] if has_messages else []
    assert main(["export", model_file, str(out), *options]) == 0
    printed = capsys.readouterr().out
    assert "serve_bytes" in printed and "portable" not in printed
    assert (out / "assets.extra" / "tf_serving_warmup_requests").is_file() == has_messages
    assert "MrcnnRoiAlign" in custom_ops(out)
    with pytest.raises(ValueError, match="holds compiled ops .Mrcnn"):
        read_portable(out)

    stored = tf.train.load_checkpoint(str(out / "variables" / "variables"))
    dtypes, shapes = stored.get_variable_to_dtype_map(), stored.get_variable_to_shape_map()
    kernels = [name for name, shape in shapes.items() if len(shape) > 1]
    assert len(kernels) > 20 and {dtypes[name] for name in kernels} == {tf.bfloat16}
    image = np.random.default_rng(0).integers(0, 256, [64, 64, 3], np.uint8)
    loaded = tf.saved_model.load(str(out))
    found = loaded.serve_images(image[None])
    expected = Predictor(load(model_file), score_threshold=0.0)(image)[0]
    assert len(expected["scores"]) > 0
    # Kernels of 8 bits of mantissa: not equal, and not something else either.
    np.testing.assert_allclose(found["scores"][0, 0], expected["scores"][0], atol=0.1)


def test_options_that_cannot_be(model_file, tmp_path, capsys, monkeypatch):
    out = str(tmp_path / "1")
    for options, message in (
        (["--masks", "rle"], "masks='rle' is for models with masks"),
        (["--custom-ops", "--size", "64", "64"], "size is that of the signature 'portable'"),
    ):
        assert main(["export", model_file, out, *options]) == 2
        assert message in capsys.readouterr().err

    def unavailable(required=None):
        raise OpsUnavailableError("The compiled ops cannot be used: there is no library")

    monkeypatch.setattr("mrcnn_tf.export.saved_model.load", unavailable)
    assert main(["export", model_file, out, "--custom-ops"]) == 2
    assert "custom_ops=True is not possible here. The compiled ops" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "tensorflow_serving", None)
    monkeypatch.setitem(sys.modules, "tensorflow_serving.apis", None)
    assert main(["export", model_file, out, "--warmup"]) == 2
    assert "pip install 'mrcnn-tf[serving]'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_export_names_what_is_wrong(model_file, tmp_path, capsys):
    out = str(tmp_path / "1")
    assert main(["export", model_file, out, "--format", "pdf"]) == 2
    assert "choose one of saved_model" in capsys.readouterr().err
    assert main(["export", str(tmp_path / "missing.keras"), out]) == 2
    assert "missing.keras" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["export", model_file, out, "--size", "64"])
    assert "--size: expected 2 arguments" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
