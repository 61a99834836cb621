import pytest
import tensorflow as tf

from mrcnn_tf.cli.main import main
from mrcnn_tf.models import MaskRCNN


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
