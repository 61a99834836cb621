import pytest

from mrcnn_tf.layers.backbones import BACKBONES, build_backbone


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        # torchvision's counts without the classifier, plus the statistics of the normalisations.
        ("resnet18", 11_176_512 + 9_600),
        ("resnet34", 21_284_672 + 17_024),
        ("resnet50", 23_508_032 + 53_120),
        ("resnet101", 42_500_160 + 105_344),
        ("efficientnet_lite0", 2_998_304),
    ],
)
def test_every_name(name, parameters):
    backbone = build_backbone(name, norm="frozen_batch_norm", frozen_stages=1)
    assert backbone.name == name and backbone.frozen_stages == 1
    assert backbone.count_params() == parameters
    assert len(backbone.out_channels) == len(backbone.strides) == 4
    assert len(backbone.image_mean) == len(backbone.image_std) == 3


def test_options_are_checked():
    assert build_backbone("resnet50", stride_in_1x1=True).stride_in_1x1
    assert len(build_backbone("resnet18", norm="batch_norm").trainable_weights) == 60
    assert build_backbone("resnet18", base_channels=8).out_channels == (8, 16, 32, 64)
    assert build_backbone("resnet18", dtype="mixed_bfloat16").compute_dtype == "bfloat16"
    with pytest.raises(ValueError, match="base_channels"):
        build_backbone("efficientnet_lite0", base_channels=8)
    exact = build_backbone("resnet50", epsilon=0.0)
    assert {exact.stem.epsilon, *(c.epsilon for b in exact.blocks for c in b.convs)} == {0.0}
    with pytest.raises(ValueError, match="epsilon"):
        build_backbone("efficientnet_lite0", epsilon=1e-5)
    with pytest.raises(ValueError, match="vgg16") as error:
        build_backbone("vgg16")
    assert all(name in str(error.value) for name in (*BACKBONES, "keras/NAME"))
    for name in ("resnet18", "efficientnet_lite0"):
        with pytest.raises(ValueError, match="stride_in_1x1"):
            build_backbone(name, stride_in_1x1=True)
