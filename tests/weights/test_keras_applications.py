import numpy as np
import pytest

from mrcnn_tf.layers.keras_applications import KerasApplication, build_application
from mrcnn_tf.weights import keras_applications, load_backbone_weights


@pytest.fixture(scope="module")
def network():
    return build_application("MobileNetV3Small")


@pytest.fixture
def backbone():
    return KerasApplication("MobileNetV3Small")


def kernels(backbone) -> list[np.ndarray]:
    return [weight.numpy() for weight in backbone.weights if weight.name == "kernel"]


def check_loaded(backbone, network):
    theirs = {layer.name: layer for layer in network.layers}
    ours = {
        layer.name: layer for part in (backbone.stem, *backbone.blocks) for layer in part.layers
    }
    named = [name for name, layer in ours.items() if layer.weights]
    assert len(named) > 60 and sum(len(ours[name].weights) for name in named) == 206
    for name in named:
        for first, second in zip(ours[name].get_weights(), theirs[name].get_weights(), strict=True):
            np.testing.assert_array_equal(first, second, err_msg=name)


@pytest.mark.parametrize("file", ["network.weights.h5", "network.h5"])
def test_files_of_keras(network, backbone, file, tmp_path):
    save = network.save_weights if file.endswith(".weights.h5") else network.save
    save(tmp_path / file)
    load_backbone_weights(backbone, tmp_path / file)
    check_loaded(backbone, network)


def test_imagenet_comes_from_keras(network, backbone, monkeypatch):
    asked = []

    def published(name, **arguments):
        asked.append((name, arguments["weights"]))
        return network

    monkeypatch.setattr(keras_applications, "build_application", published)
    load_backbone_weights(backbone, "imagenet")
    assert asked == [("MobileNetV3Small", "imagenet")]
    check_loaded(backbone, network)

    def offline(*_, **__):
        raise Exception("URL fetch failure on https://storage")

    monkeypatch.setattr(keras_applications, "build_application", offline)
    with pytest.raises(OSError, match="MobileNetV3Small.*URL fetch failure.*save_weights"):
        load_backbone_weights(backbone, "imagenet")


@pytest.mark.filterwarnings("ignore:Skipping nested container")
def test_files_that_do_not_fit(backbone, tmp_path):
    before = kernels(backbone)
    with pytest.raises(FileNotFoundError, match="there is no file .*nothing.h5"):
        load_backbone_weights(backbone, tmp_path / "nothing.h5")
    build_application("MobileNetV2").save_weights(tmp_path / "other.weights.h5")
    (tmp_path / "text.h5").write_text("no weights")
    (tmp_path / "network.pth").write_text("of PyTorch")
    for file in ("other.weights.h5", "text.h5", "network.pth"):
        with pytest.raises(
            ValueError, match=f"{file} does not hold the weights of .*MobileNetV3Sm"
        ):
            load_backbone_weights(backbone, tmp_path / file)
    for first, second in zip(before, kernels(backbone), strict=True):
        np.testing.assert_array_equal(first, second)


def test_group_normalisation_has_no_weights_at_keras(monkeypatch):
    backbone = KerasApplication("DenseNet121", norm="group_norm")
    assert {weight.name for weight in backbone.weights} == {"kernel", "gamma", "beta"}
    before = kernels(backbone)
    monkeypatch.setattr(
        keras_applications, "build_application", lambda name, **_: build_application(name)
    )
    with pytest.raises(ValueError, match="DenseNet121 .*batch normalisation.*norm='group_norm'"):
        load_backbone_weights(backbone, "imagenet")
    for first, second in zip(before, kernels(backbone), strict=True):
        np.testing.assert_array_equal(first, second)
