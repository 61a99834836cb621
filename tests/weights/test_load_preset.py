import numpy as np
import pytest

from mrcnn_tf import MaskRCNN
from mrcnn_tf.weights import PRESETS
from tests.models.tiny import ARGUMENTS, tiny_batch, tiny_model

SMALL = {
    name: value for name, value in ARGUMENTS.items() if name not in ("backbone", "num_classes")
}


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_builds(name):
    small = {**SMALL, "backbone_channels": None} if "efficientnet" in name else SMALL
    model = MaskRCNN.from_preset(name, load_weights=False, num_classes=2, **small)
    assert model.get_config()["backbone"] in name
    assert model.mask == name.startswith("maskrcnn")
    assert model.num_classes == 2


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
