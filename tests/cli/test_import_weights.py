import re

import numpy as np
import pytest

import mrcnn_tf
from mrcnn_tf import MaskRCNN
from mrcnn_tf.cli.main import main
from mrcnn_tf.models import MatterportMaskRCNN
from mrcnn_tf.weights import PRESETS
from tests.weights.matterport_case import write_h5
from tests.weights.published import DETECTRON2 as PUBLISHED_PICKLE
from tests.weights.published import TORCHVISION, publish, write_state_dict
from tests.weights.test_detectron2_names import SMALL as DETECTRON2
from tests.weights.test_detectron2_names import tensors_of, write
from tests.weights.test_matterport_names import SMALL as MATTERPORT
from tests.weights.test_matterport_names import tensors_of as matterport_tensors_of
from tests.weights.test_torch_files import Call, Tensor, write_zip
from tests.weights.test_torchvision_detection import SMALL, state_dict


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A checkpoint as `torch.save` writes it, of a small Mask R-CNN for two classes."""
    tensors = state_dict(MaskRCNN(num_classes=2, **SMALL))
    return write_state_dict(tmp_path_factory.mktemp("torchvision") / "bolts.pth", tensors)


def test_a_model_is_written(source, tmp_path, capsys):
    out = tmp_path / "bolts.keras"
    arguments = ["import-weights", str(source), str(out)]
    assert main([*arguments, "--class-names", "bolt, nut", "--norm-epsilon", "1e-5"]) == 0
    assert f"{out} is written: Mask R-CNN with resnet18 and 2 classes" in capsys.readouterr().out
    model = mrcnn_tf.load(out)
    assert model.class_names == ["bolt", "nut"] and model.backbone.epsilon == 1e-5
    expected = state_dict(model)["roi_heads.mask_predictor.mask_fcn_logits.bias"][1:]
    np.testing.assert_array_equal(model.mask_head.logits.bias, expected)

    written = out.read_bytes()
    assert main(arguments) == 2
    assert "already exists; give --overwrite" in capsys.readouterr().err
    assert out.read_bytes() == written
    assert main([*arguments, "--overwrite"]) == 0
    assert mrcnn_tf.load(out).backbone.epsilon == 0


def test_detectron2_is_told_by_its_names(tmp_path, capsys):
    joints = {"keypoints": 4, "keypoint_channels": 4, "keypoint_convs": 1}
    tensors = tensors_of(MaskRCNN("resnet50", **DETECTRON2, **joints))
    sources = [
        write(tmp_path / "model_final.pkl", tensors),
        write_state_dict(tmp_path / "model_final.pth", tensors),
    ]
    for source in sources:
        out = source.with_suffix(f"{source.suffix}.keras")
        assert main(["import-weights", str(source), str(out), "--class-names", "a,b,c"]) == 0
        assert "Mask and Keypoint R-CNN with resnet50 and 3 classes" in capsys.readouterr().out
        model = mrcnn_tf.load(out)
        assert model.class_names == ["a", "b", "c"] and model.backbone.stride_in_1x1
        np.testing.assert_allclose(
            model.mask_head.logits.bias, tensors["roi_heads.mask_head.predictor.bias"]
        )


def test_a_published_detector_is_downloaded(monkeypatch, tmp_path, capsys):
    path = publish(monkeypatch, tmp_path, TORCHVISION)
    out = tmp_path / "coco.keras"
    assert main(["import-weights", TORCHVISION, str(out), "--class-names", "screw,washer"]) == 0
    assert f"{out} is written: Mask R-CNN with resnet18 and 2 classes" in capsys.readouterr().out
    model = mrcnn_tf.load(out)
    assert model.class_names == ["screw", "washer"] and model.image_resize == "torchvision"
    expected = mrcnn_tf.weights.model_from_torchvision(path)
    np.testing.assert_array_equal(model.box_head.logits.bias, expected.box_head.logits.bias)


def test_published_detectors_are_listed(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["import-weights", "--list"]) == 0
    printed = capsys.readouterr().out
    published = [name for name in PRESETS if PRESETS[name].detector]
    lines = [line.split() for line in printed.splitlines()]
    rows = [words for words in lines if words and words[0] in PRESETS]
    assert [row[0] for row in rows] == published
    assert rows[published.index(TORCHVISION)][1:] == ["178", "37.9", "34.6", "BSD-3-Clause"]
    assert rows[published.index(PUBLISHED_PICKLE)][-3:] == ["CC", "BY-SA", "3.0"]
    for arguments, message in (
        (["--list", "some.pth"], "--list stands alone"),
        (["some.pth"], "give SOURCE.* and OUT"),
        (["torchvision/resnet9000", "x.keras"], "nor a published detector of that name"),
    ):
        assert main(["import-weights", *arguments]) == 2
        assert re.search(message, capsys.readouterr().err)


def test_matterport_is_told_by_its_extension(tmp_path, capsys):
    tensors = matterport_tensors_of(MatterportMaskRCNN(**MATTERPORT))
    source, out = write_h5(tmp_path / "mask_rcnn_bolts.h5", tensors), tmp_path / "bolts.keras"
    assert main(["import-weights", str(source), str(out), "--class-names", "a,b,c"]) == 0
    assert "Mask R-CNN with resnet50 and 3 classes" in capsys.readouterr().out
    model = mrcnn_tf.load(out)
    assert type(model) is MatterportMaskRCNN and model.class_names == ["a", "b", "c"]
    np.testing.assert_array_equal(model.mask_head.logits.bias, tensors["mrcnn_mask/bias:0"][1:])


def test_what_is_wrong_is_one_line(source, tmp_path, capsys):
    whole = source.read_bytes()
    (tmp_path / "short.pth").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "page.pth").write_bytes(b"<html>404</html>")
    (tmp_path / "page.h5").write_bytes(b"<html>404</html>")
    write_zip(tmp_path / "evil.pth", {"weight": Call(eval, "open('ran', 'w')")})
    write_zip(tmp_path / "other.pth", {"weight": Tensor(6, 0, (2, 3), (3, 1))}, [bytes(24)])
    for name, message in (
        ("absent.pth", "there is no file"),
        ("short.pth", "truncated or damaged"),
        ("page.pth", "not a PyTorch checkpoint"),
        ("page.h5", "no HDF5 file"),
        ("evil.pth", "eval"),
        ("other.pth", "is no Mask, Keypoint or Faster R-CNN with FPN of torchvision"),
    ):
        assert main(["import-weights", str(tmp_path / name), str(tmp_path / "x.keras")]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and message in error and name in error
    for arguments, message in (
        (["x.h5"], "must end in .keras"),
        (["absent/x.keras"], "no folder"),
        (["x.keras", "--class-names", "bolt"], "class_names has 1 entries"),
    ):
        arguments[0] = str(tmp_path / arguments[0])
        assert main(["import-weights", str(source), *arguments]) == 2
        assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("*.keras")) and not (tmp_path / "ran").exists()
