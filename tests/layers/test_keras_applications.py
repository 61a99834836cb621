import keras
import numpy as np
import pytest
import tensorflow as tf

from mrcnn_tf.layers import NormalizeImages, build_backbone
from mrcnn_tf.layers.keras_applications import (
    KerasApplication,
    LayerScale,
    pixels_of,
)
from mrcnn_tf.weights import load_backbone_weights
from tests.layers.backbone_case import check_freezing, check_shapes
from tests.layers.layer_case import check_layer

# One network of every family: the layers of Keras's own that are tapped. Where they have no names,
# the layers that read the maps at strides 4, 8 and 16; the last map is the network's output.
TAPS = {
    "DenseNet121": ["pool2_conv", "pool3_conv", "pool4_conv", "relu"],
    "EfficientNetB0": [
        "block3a_expand_activation",
        "block4a_expand_activation",
        "block6a_expand_activation",
        "top_activation",
    ],
    "EfficientNetV2B0": [
        "block2b_add",
        "block4a_expand_activation",
        "block6a_expand_activation",
        "top_activation",
    ],
    "EfficientNetV2S": [
        "block2d_add",
        "block4a_expand_activation",
        "block6a_expand_activation",
        "top_activation",
    ],
    "MobileNet": ["conv_pw_3_relu", "conv_pw_5_relu", "conv_pw_11_relu", "conv_pw_13_relu"],
    "MobileNetV2": [
        "block_3_expand_relu",
        "block_6_expand_relu",
        "block_13_expand_relu",
        "out_relu",
    ],
    "ResNet50": ["conv2_block3_out", "conv3_block4_out", "conv4_block6_out", "conv5_block3_out"],
    "ResNet50V2": ["conv2_block2_out", "conv3_block3_out", "conv4_block5_out", "post_relu"],
    "VGG16": ["block3_conv3", "block4_conv3", "block5_conv3", "block5_pool"],
    "VGG19": ["block3_conv4", "block4_conv4", "block5_conv4", "block5_pool"],
}
READERS = {
    "ConvNeXtTiny": [f"convnext_tiny_downsampling_block_{i}" for i in range(3)],
    "MobileNetV3Small": [f"expanded_conv_{i}_depthwise_pad" for i in (1, 3, 8)],
}
QUICK = ("MobileNetV3Small", "VGG16")
FAMILIES = [
    pytest.param(n, marks=[] if n in QUICK else pytest.mark.slow) for n in (*TAPS, *READERS)
]


def seeded_network(name: str) -> keras.Model:
    """Keras's own network, with statistics of normalisations that a training could have left."""
    network = getattr(keras.applications, name)(
        include_top=False, weights=None, input_shape=(None, None, 3)
    )
    rng = np.random.default_rng(0)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.8, 1.2, w.shape) for w in layer.get_weights()])
        if type(layer).__name__ == "LayerScale":
            layer.set_weights([np.ones(layer.projection_dim)])
        if isinstance(layer, keras.layers.Normalization) and layer.input_mean is None:
            # As in EfficientNet's file, after whose mean Keras divides by the root of 0.229 twice.
            mean, variance = np.array([[0.485, 0.456, 0.406], [0.229**2, 0.224**2, 0.225**2]])
            layer.set_weights([mean, variance, np.array(0)])
            layer.finalize_state()
    return network


def tapped(network: keras.Model, name: str) -> list[keras.KerasTensor]:
    if name in READERS:
        readers = [network.get_layer(reader).input for reader in READERS[name]]
        return [*readers, network.outputs[0]]
    return [network.get_layer(tap).output for tap in TAPS[name]]


@pytest.mark.parametrize("name", FAMILIES)
def test_equals_keras(name, tmp_path, rng):
    network = seeded_network(name)
    network.save_weights(tmp_path / "network.weights.h5")
    images = rng.integers(0, 256, (1, 64, 96, 3)).astype(np.float32)
    module = getattr(keras.applications, name).__module__.rpartition(".")[-1]
    prepared = getattr(keras.applications, module).preprocess_input(images.copy())
    expected = keras.Model(network.inputs[0], tapped(network, name))(prepared)

    backbone = build_backbone(f"keras/{name}", frozen_stages=1)
    assert backbone.name == name and backbone.frozen_stages == 1
    load_backbone_weights(backbone, tmp_path / "network.weights.h5")
    normalize = NormalizeImages(backbone.image_mean, backbone.image_std)
    layers = [layer for part in (backbone.stem, *backbone.blocks) for layer in part.layers]
    # ... or padding would not be zero in what the first convolution reads.
    assert not any(
        isinstance(x, keras.layers.Rescaling | keras.layers.Normalization) for x in layers
    )
    outputs = backbone(normalize(images, np.array([[64, 96]])))
    assert backbone.out_channels == tuple(output.shape[-1] for output in outputs)
    for output, reference in zip(outputs, expected, strict=True):
        tolerance = 1e-5 * np.abs(reference).max()
        np.testing.assert_allclose(output, reference, atol=tolerance, rtol=0)
    check_shapes(backbone, 32, 160)


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        pytest.param("Xception", "block1_conv1"),
        pytest.param("InceptionV3", "conv2d_1", marks=pytest.mark.slow),
        pytest.param("InceptionResNetV2", "conv2d_1", marks=pytest.mark.slow),
        pytest.param("NASNetMobile", "stem_conv1", marks=pytest.mark.slow),
    ],
)
def test_networks_whose_maps_do_not_fit(name, layer):
    with pytest.raises(ValueError, match=f"{name} cannot be a backbone.*divided by 4.*'{layer}'"):
        build_backbone(f"keras/{name}")


@pytest.mark.parametrize(
    ("name", "num_weights"),
    [("MobileNetV3Small", 206), pytest.param("ConvNeXtTiny", 180, marks=pytest.mark.slow)],
)
def test_serialisation_and_precision(name, num_weights):
    check_layer(
        lambda **kwargs: KerasApplication(name, frozen_stages=2, **kwargs),
        [tf.random.stateless_normal([1, 64, 32, 3], [0, 1])],
        num_weights=num_weights,
        mixed_dtypes=["bfloat16"] * 4,
    )


def test_layer_scale():
    check_layer(
        lambda **kwargs: LayerScale(8, 0.5, **kwargs),
        [tf.random.stateless_normal([1, 2, 2, 8], [0, 1])],
        num_weights=1,
        mixed_dtypes=["bfloat16"],
    )


@pytest.mark.parametrize(
    "name", ["MobileNetV3Small", pytest.param("ConvNeXtTiny", marks=pytest.mark.slow)]
)
def test_weights_keep_their_paths(name):
    first, second = (KerasApplication(name, name="probe") for _ in range(2))
    paths = [weight.path for weight in first.weights]
    assert paths == [weight.path for weight in second.weights]
    assert len(set(paths)) == len(paths)
    assert not [path for path in paths if not path.startswith("probe/") or "variable" in path]


def test_freezing():
    check_freezing(lambda frozen_stages: KerasApplication("MobileNet", frozen_stages=frozen_stages))


def test_batch_norm_follows_training():
    backbone = KerasApplication("MobileNet", norm="batch_norm", frozen_stages=2)
    before = [weight.numpy() for weight in backbone.non_trainable_weights]
    backbone(tf.random.stateless_normal([2, 32, 32, 3], [0, 1]), training=True)
    changed = {
        weight.path.split("/")[1]
        for weight, value in zip(backbone.non_trainable_weights, before, strict=True)
        if np.any(weight != value)
    }
    # Statistics of frozen stages stay, those of the others move.
    convolutions = {f"conv_{kind}_{block}_bn" for kind in ("dw", "pw") for block in range(4, 14)}
    assert changed == convolutions


def test_bad_arguments():
    for arguments, message in (
        (("EfficientNetV2B9",), "'EfficientNetV2B9' is no network of .* EfficientNetV2B0"),
        (("preprocess_input",), "'preprocess_input' is no network"),
        (("MobileNet", "layer"), "norm='layer' is not known"),
        (("MobileNet", "batch_norm", 6), "frozen_stages=6 must be 0"),
        (("MobileNetV2", "group_norm"), "into which 16 channels do not divide"),
    ):
        with pytest.raises(ValueError, match=message):
            KerasApplication(*arguments)
    with pytest.raises(ValueError, match="MobileNetV3Small needs .* multiples of 32; got .*33"):
        KerasApplication("MobileNetV3Small")(tf.zeros([1, 64, 33, 3]))
    # The network is found before its family is looked up.
    with pytest.raises(ValueError, match="Xception is of a family .*convnext"):
        pixels_of("Xception")
