import numpy as np
import pytest

from mrcnn_tf import MaskRCNN
from mrcnn_tf.models import MatterportMaskRCNN
from mrcnn_tf.models.matterport import WITHOUT_USE
from mrcnn_tf.weights import (
    PRESETS,
    model_from_detectron2,
    model_from_matterport,
    model_from_torchvision,
)
from tests.models.tiny import ARGUMENTS as TINY
from tests.models.tiny import tiny_batch, tiny_model
from tests.weights.published import (
    ARGUMENTS,
    CLASSES,
    DETECTRON2,
    MATTERPORT,
    TORCHVISION,
    publish,
)

SMALL = {name: value for name, value in TINY.items() if name not in ("backbone", "num_classes")}


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_builds(name):
    small = {**SMALL, "backbone_channels": None} if "efficientnet" in name else dict(SMALL)
    if name == MATTERPORT:
        small = {argument: small[argument] for argument in small.keys() - set(WITHOUT_USE)}
    model = MaskRCNN.from_preset(name, load_weights=False, num_classes=2, **small)
    assert model.mask == ("mask" in name) and bool(model.keypoints) == ("keypoint" in name)
    assert model.num_classes == len(model.class_names) == 2
    config = model.get_config()
    kept = PRESETS[name].arguments.keys() - small.keys() - CLASSES.keys()
    assert "backbone" in kept
    assert all(config[argument] == PRESETS[name].arguments[argument] for argument in kept)


def test_published_detectors_are_described_by_their_addresses():
    published = {name: preset for name, preset in PRESETS.items() if preset.detector}
    assert len(published) == len({preset.detector.file.url for preset in published.values()}) >= 8
    for name, (_, arguments, backbone, detector) in published.items():
        library, _, stem = name.partition("/")
        url, algorithm, digest = detector.file
        assert url.startswith("https://") and stem in url
        sizes = {"torchvision": ("sha256", 8), "detectron2": ("md5", 6), "matterport": ("md5", 32)}
        assert (algorithm, len(digest)) == sizes[library]
        if library != "matterport":  # whose file has no hash in its name, and no stated AP
            assert url.rpartition(".")[0].endswith(digest)
            assert detector.average_precision["box"] > 0
            assert ("mask" in detector.average_precision) == arguments["mask"]
            assert ("keypoint" in detector.average_precision) == ("keypoints" in arguments)
        assert backbone is None and len(arguments["class_names"]) == arguments["num_classes"]


@pytest.mark.parametrize(
    ("name", "importer"),
    [
        (TORCHVISION, model_from_torchvision),
        (DETECTRON2, model_from_detectron2),
        (MATTERPORT, model_from_matterport),
    ],
)
def test_a_published_detector(name, importer, monkeypatch, tmp_path, capsys):
    path = publish(monkeypatch, tmp_path, name)
    model = MaskRCNN.from_preset(name)
    assert "start anew" not in capsys.readouterr().out
    config = model.get_config()
    assert {argument: config[argument] for argument in ARGUMENTS[name]} == ARGUMENTS[name]
    expected = importer(path)
    for ours, theirs in zip(model.weights, expected.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)

    # The cache has it now.
    copy = path.rename(tmp_path / "copy")
    reheaded = MaskRCNN.from_preset(name, num_classes=3, score_threshold=0.3)
    printed = capsys.readouterr().out
    assert f"6 weights start anew, since {name} has them in another shape" in printed
    assert all(f"{head}/kernel" in printed for head in ("box_head/logits", "mask_head/logits"))
    assert reheaded.class_names == ["class 0", "class 1", "class 2"]
    assert reheaded.category_ids == [1, 2, 3] and reheaded.arguments["score_threshold"] == 0.3
    np.testing.assert_array_equal(reheaded.fpn.outputs[0].kernel, model.fpn.outputs[0].kernel)

    (tmp_path / "cache" / "mrcnn_tf" / path.name).unlink()
    with pytest.raises(OSError, match=f"{path.name} could not be.*give its path as weights_file"):
        MaskRCNN.from_preset(name)
    fresh = MaskRCNN.from_preset(name, load_weights=False)
    assert fresh.get_config() == {**config, "name": fresh.name}
    same = MaskRCNN.from_preset(name, weights_file=copy.rename(tmp_path / path.name))
    np.testing.assert_array_equal(same.rpn.logits.kernel, model.rpn.logits.kernel)
    wrong = tmp_path / "wrong.pth"
    wrong.write_bytes(b"other")
    with pytest.raises(ValueError, match=f"wrong.pth is not the published {path.name}"):
        MaskRCNN.from_preset(name, weights_file=wrong)


def test_a_published_detector_is_of_its_class():
    model = MaskRCNN.from_preset(MATTERPORT, load_weights=False, backbone_channels=4)
    assert isinstance(model, MatterportMaskRCNN)
    with pytest.raises(ValueError, match="is a MaskRCNN, not a MatterportMaskRCNN"):
        MatterportMaskRCNN.from_preset(TORCHVISION, load_weights=False)


def test_a_file_of_weights_is_for_published_detectors():
    for arguments in (("maskrcnn_resnet50_fpn",), ("some.keras",), (TORCHVISION, False)):
        with pytest.raises(ValueError, match="weights_file is a copy .* reads none.*torchvision/"):
            MaskRCNN.from_preset(*arguments, weights_file="some.pth")


def test_a_saved_model_is_a_preset(tmp_path, capsys):
    path = str(tmp_path / "first.keras")
    source = tiny_model(class_names=["a", "b", "c"], category_ids=[3, 5, 9])
    source.save(path)
    x, _ = tiny_batch()

    same = MaskRCNN.from_preset(path)
    assert "start anew" not in capsys.readouterr().out
    np.testing.assert_array_equal(same(x)["boxes"], source(x)["boxes"])
    assert same.category_ids == [3, 5, 9]

    fresh = MaskRCNN.from_preset(path, load_weights=False)
    assert np.abs(fresh.rpn.logits.kernel - source.rpn.logits.kernel).max() > 0

    reheaded = MaskRCNN.from_preset(path, num_classes=2, class_names=["x", "y"])
    printed = capsys.readouterr().out
    for name in ("box_head/logits", "box_head/deltas", "mask_head/logits"):
        assert f"{name}/kernel" in printed and f"{name}/bias" in printed
    assert "6 weights start anew" in printed
    assert reheaded.class_names == ["x", "y"] and reheaded.category_ids == [1, 2]
    assert reheaded.box_head.logits.kernel.shape[-1] == 3
    np.testing.assert_array_equal(
        reheaded.mask_head.convs[0].kernel, source.mask_head.convs[0].kernel
    )


def test_unknown_presets_are_named(tmp_path):
    with pytest.raises(ValueError, match="'resnet9000' is not known. Known: maskrcnn_resnet50_fpn"):
        MaskRCNN.from_preset("resnet9000")
    with pytest.raises(FileNotFoundError, match="absent.keras"):
        MaskRCNN.from_preset(str(tmp_path / "absent.keras"))
