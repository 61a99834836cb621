"""torchvision's classification ResNets: names, addresses and hashes of their checkpoints."""

from mrcnn_tf.layers.resnet import ResNet
from mrcnn_tf.weights.assign import conv_norm_weights
from mrcnn_tf.weights.download import PublishedFile, published_file

# By depth. ImageNet top-1 of torchvision's IMAGENET1K_V1 recipe, single crop: 69.758, 73.314,
# 76.130 and 77.374 percent.
IMAGENET = {
    depth: PublishedFile(
        f"https://download.pytorch.org/models/resnet{depth}-{digest}.pth", "sha256", digest
    )
    for depth, digest in ((18, "f37072fd"), (34, "b627a593"), (50, "0676ba61"), (101, "63fe2227"))
}


def resnet_weights(backbone: ResNet) -> dict[str, tuple]:
    """Variables of the backbone by tensor name, see `conv_norm_weights`."""
    weights = conv_norm_weights(backbone.stem, "conv1", "bn1")
    for block in backbone.blocks:
        stage, index = (int(part.lstrip("stageblock")) for part in block.name.split("_"))
        prefix = f"layer{stage - 1}.{index - 1}"
        for number, conv in enumerate(block.convs, start=1):
            weights |= conv_norm_weights(conv, f"{prefix}.conv{number}", f"{prefix}.bn{number}")
        if block.shortcut is not None:
            weights |= conv_norm_weights(
                block.shortcut, f"{prefix}.downsample.0", f"{prefix}.downsample.1"
            )
    return weights


def resnet_ignored(name: str) -> bool:
    """The classifier, and counters that only training with a cumulative average reads."""
    return name.startswith("fc.") or name.endswith(".num_batches_tracked")


def resnet_file(backbone: ResNet) -> str:
    """Downloads torchvision's ImageNet checkpoint into Keras' cache, once.

    Raises:
        ValueError: The backbone has `stride_in_1x1` or another width than the published one, or
            the file is not the published one.
        OSError: The download failed.
    """
    if backbone.stride_in_1x1:
        raise ValueError(
            "torchvision's weights were trained with the stride in the 3x3 convolution; build the "
            "backbone with stride_in_1x1=False, or give the path of weights that fit"
        )
    if backbone.base_channels != 64:
        raise ValueError(
            f"ImageNet weights are for base_channels=64, not {backbone.base_channels}; build the "
            "backbone with 64, or train it from scratch with norm='batch_norm'"
        )
    return published_file(IMAGENET[backbone.depth], remedy="give its path to load_backbone_weights")
