from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from mrcnn_tf.layers.fpn import FPN
from mrcnn_tf.layers.matterport_resnet import MatterportResNet
from mrcnn_tf.layers.resnet import ResidualBlock, ResNet
from mrcnn_tf.weights.assign import assign_weights
from mrcnn_tf.weights.resnet import resnet_weights
from tests.layers.backbone_case import check_freezing, check_shapes
from tests.layers.layer_case import check_layer
from tests.weights.seeded_tensors import samples, seeded_tensor

GOLDEN = np.load(Path(__file__).parent.parent / "golden/resnet.npz")


def seeded(backbone: ResNet) -> ResNet:
    """The backbone with made-up weights, through the importer of real ones."""
    weights = resnet_weights(backbone)
    tensors = {}
    for name, (variable, axes) in weights.items():
        shape = [variable.shape[axes.index(i)] for i in range(len(axes))]
        tensors[name] = seeded_tensor(name, tuple(shape))
    assign_weights(weights, tensors, lambda name: False, "made-up weights")
    return backbone


@pytest.mark.parametrize(
    "depth",
    [18, pytest.param(34, marks=pytest.mark.slow), 50, pytest.param(101, marks=pytest.mark.slow)],
)
def test_equals_torchvision(depth):
    outputs = seeded(ResNet(depth))(GOLDEN["image"])
    for level, output in enumerate(outputs, start=2):
        expected = GOLDEN[f"resnet{depth}.c{level}"]
        tolerance = 1e-4 * np.abs(expected).max()
        np.testing.assert_allclose(samples(output.numpy()), expected, atol=tolerance)


def test_pyramid_equals_torchvision():
    backbone = seeded(ResNet(18))
    fpn = FPN(backbone.out_channels, channels=16)
    for index, (lateral, output) in enumerate(zip(fpn.laterals, fpn.outputs, strict=True)):
        for conv, blocks in ((lateral, "inner_blocks"), (output, "layer_blocks")):
            height, width, inputs, outputs = conv.kernel.shape
            name = f"{blocks}.{index}.0"
            kernel = seeded_tensor(f"{name}.weight", (outputs, inputs, height, width))
            conv.set_weights([kernel.transpose(2, 3, 1, 0), seeded_tensor(f"{name}.bias", (16,))])
    for level, output in enumerate(fpn(backbone(GOLDEN["image"])), start=2):
        expected = GOLDEN[f"fpn.p{level}"]
        tolerance = 1e-4 * np.abs(expected).max()
        np.testing.assert_allclose(samples(output.numpy()), expected, atol=tolerance)


def test_serialisation_and_precision():
    check_layer(
        lambda **kwargs: ResNet(18, frozen_stages=2, base_channels=8, **kwargs),
        [tf.random.stateless_normal([1, 64, 40, 3], [0, 1])],
        num_weights=100,
        mixed_dtypes=["bfloat16"] * 4,
    )
    check_layer(
        lambda **kwargs: ResidualBlock(8, 16, 2, stride_in_1x1=True, norm="batch_norm", **kwargs),
        [tf.random.stateless_normal([1, 6, 6, 8], [0, 1])],
        num_weights=20,
        mixed_dtypes=["bfloat16"],
    )
    # Weights are told apart by their paths.
    backbone = ResNet(50, name="resnet50")
    paths = [weight.path for weight in backbone.weights]
    assert len(set(paths)) == len(paths) == 265
    assert "resnet50/stage3_block1/shortcut/norm/moving_mean" in paths


def test_shapes_and_freezing():
    check_shapes(ResNet(18), 65, 97)
    check_shapes(ResNet(50), 32, 33)
    narrow = ResNet(50, base_channels=6)
    assert narrow.out_channels == (24, 48, 96, 192)
    check_shapes(narrow, 33, 64)
    check_freezing(lambda frozen: ResNet(18, frozen_stages=frozen, base_channels=8))


def test_stride_in_the_first_convolution():
    images = tf.random.stateless_normal([1, 64, 64, 3], [0, 1])
    default, caffe = ResNet(50), ResNet(50, stride_in_1x1=True)
    caffe.set_weights(default.get_weights())
    outputs = [backbone(images) for backbone in (default, caffe)]
    assert [a.shape for a in outputs[0]] == [b.shape for b in outputs[1]]
    np.testing.assert_array_equal(outputs[0][0], outputs[1][0])
    assert np.abs(outputs[0][1] - outputs[1][1]).max() > 1e-3
    block = caffe.blocks[3]
    assert [conv.strides for conv in block.convs] == [2, 1, 1]
    assert [conv.strides for conv in default.blocks[3].convs] == [1, 2, 1]


def test_batch_norm_follows_training():
    backbone = ResNet(18, norm="batch_norm", frozen_stages=2)
    before = {w.path: w.numpy() for w in backbone.non_trainable_weights}
    backbone(tf.random.stateless_normal([2, 64, 64, 3], [0, 1]), training=True)
    changed = {p.split("/")[1] for p, v in before.items() if np.any(v != value(backbone, p))}
    # Statistics of frozen stages stay, those of the others move.
    assert changed == {f"stage{s}_block{b}" for s in (3, 4, 5) for b in (1, 2)}


def value(layer: keras.layers.Layer, path: str) -> np.ndarray:
    return next(weight.numpy() for weight in layer.weights if weight.path == path)


def test_bad_arguments():
    for arguments, message in (
        ({"depth": 20}, "depth=20 is not known; choose 18, 34, 50 or 101"),
        ({"depth": 18, "stride_in_1x1": True}, "a ResNet-18 has none"),
        ({"frozen_stages": 6}, "frozen_stages=6 must be 0"),
        ({"norm": "layer"}, "norm='layer' is not known"),
        ({"base_channels": 0}, "base_channels=0 must be at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            ResNet(**arguments)


def test_matterports_pooling_pads_at_the_bottom_and_right():
    backbone = MatterportResNet(50, base_channels=4, epsilon=1e-3)
    assert backbone.blocks[0].convs[0].epsilon == 1e-3 and backbone.image_std == (1.0, 1.0, 1.0)
    stem = tf.reshape(tf.range(16.0), [1, 4, 4, 1])
    np.testing.assert_array_equal(backbone._after_stem(stem)[0, :, :, 0], [[10, 11], [14, 15]])
    pooled = ResNet(50, base_channels=4)._after_stem(stem)
    np.testing.assert_array_equal(pooled[0, :, :, 0], [[5, 7], [13, 15]])
