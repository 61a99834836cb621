"""ResNet-18, 34, 50 and 101 as feature extractors."""

from itertools import accumulate

import keras
import tensorflow as tf

from mrcnn_tf.layers.backbone import Backbone
from mrcnn_tf.layers.conv_norm import ConvNorm

# depth: (blocks in each of the four stages, bottleneck blocks?)
DEPTHS = {
    18: ((2, 2, 2, 2), False),
    34: ((3, 4, 6, 3), False),
    50: ((3, 4, 6, 3), True),
    101: ((3, 4, 23, 3), True),
}
EPSILON = 1e-5


@keras.saving.register_keras_serializable(package="mrcnn_tf")
class ResidualBlock(keras.layers.Layer):
    """A basic (two 3x3 convolutions) or bottleneck (1x1, 3x3, 1x1) residual block.

    Args:
        in_channels: Channels of the input `[B, H, W, in_channels]`.
        out_channels: Channels of the output.
        strides: 1 or 2.
        bottleneck: Which of the two kinds; a bottleneck works at `out_channels // 4`.
        stride_in_1x1: A bottleneck's stride is in its first 1x1 convolution instead of the 3x3.
        norm: See `build_normalization`.
        epsilon: added to the variance in it.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        strides: int = 1,
        bottleneck: bool = True,
        stride_in_1x1: bool = False,
        norm: str = "frozen_batch_norm",
        epsilon: float = EPSILON,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.strides = strides
        self.bottleneck = bottleneck
        self.stride_in_1x1 = stride_in_1x1
        self.norm = norm
        self.epsilon = epsilon

        common = {"norm": norm, "epsilon": epsilon, "dtype": self.dtype_policy}
        with keras.name_scope(self.name):
            if bottleneck:
                width = out_channels // 4
                first, second = (strides, 1) if stride_in_1x1 else (1, strides)
                self.convs = [
                    ConvNorm(
                        in_channels, width, 1, first, activation="relu", name="conv1", **common
                    ),
                    ConvNorm(width, width, 3, second, activation="relu", name="conv2", **common),
                    ConvNorm(width, out_channels, 1, name="conv3", **common),
                ]
            else:
                self.convs = [
                    ConvNorm(
                        in_channels,
                        out_channels,
                        3,
                        strides,
                        activation="relu",
                        name="conv1",
                        **common,
                    ),
                    ConvNorm(out_channels, out_channels, 3, name="conv2", **common),
                ]
            self.shortcut = None
            if strides != 1 or in_channels != out_channels:
                self.shortcut = ConvNorm(
                    in_channels, out_channels, 1, strides, name="shortcut", **common
                )
        self.built = True

    def call(self, inputs, training=None):
        features = inputs
        for conv in self.convs:
            features = conv(features, training=training)
        if self.shortcut is not None:
            inputs = self.shortcut(inputs, training=training)
        return tf.nn.relu(features + inputs)

    def get_config(self):
        return {
            **super().get_config(),
            "in_channels": self.in_channels,
            "out_channels": self.out_channels,
            "strides": self.strides,
            "bottleneck": self.bottleneck,
            "stride_in_1x1": self.stride_in_1x1,
            "norm": self.norm,
            "epsilon": self.epsilon,
        }


@keras.saving.register_keras_serializable(package="mrcnn_tf")
class ResNet(Backbone):
    """ResNet without its classifier: `images [B, H, W, 3]` to C2, C3, C4 and C5.

    The outputs are `[B, ceil(H / s), ceil(W / s), c]` for s in `strides` (4, 8, 16, 32) and c in
    `out_channels`. Input is normalised: `(rgb - image_mean) / image_std`, in 0..255 units.

    The architecture is torchvision's, so its weights import by name: explicit symmetric zero
    padding, stride in the 3x3 convolution ("v1.5"), batch normalisation epsilon 1e-5.
    Reference: He et al., Deep Residual Learning for Image Recognition, 2015.

    Args:
        depth: 18, 34, 50 or 101.
        stride_in_1x1: Put a bottleneck's stride in its first 1x1 convolution, as the original
            Caffe models and Detectron2's MSRA weights do. Only for depth 50 and 101.
        norm: `"frozen_batch_norm"` (the usual choice for detection, needs pretrained weights),
            `"batch_norm"`, `"sync_batch_norm"` or `"group_norm"`, see `build_normalization`.
        frozen_stages: 0 trains everything, 1 freezes the stem, 2 the stem and the stage that
            makes C2 (Detectron2's `FREEZE_AT: 2`), up to 5 for all.
        base_channels: Channels of the stem; those of the stages are in proportion. 64 in the
            paper and in every pretrained model; fewer make a smaller network.
        epsilon: Added to the variance in a normalisation. torchvision's detectors of 2018 to 2020
            (`COCO_V1`) were trained, and are still run, with 0.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> backbone = ResNet(50, frozen_stages=2)
        >>> [c.shape[-1] for c in backbone(tf.zeros([1, 64, 64, 3]))]
        [256, 512, 1024, 2048]
    """

    image_mean = (123.675, 116.28, 103.53)
    image_std = (58.395, 57.12, 57.375)

    def __init__(
        self,
        depth: int = 50,
        stride_in_1x1: bool = False,
        norm: str = "frozen_batch_norm",
        frozen_stages: int = 0,
        base_channels: int = 64,
        epsilon: float = EPSILON,
        **kwargs,
    ):
        super().__init__(norm, frozen_stages, **kwargs)
        if base_channels < 1:
            raise ValueError(f"base_channels={base_channels!r} must be at least 1")
        if depth not in DEPTHS:
            raise ValueError(f"depth={depth!r} is not known; choose 18, 34, 50 or 101")
        stage_sizes, bottleneck = DEPTHS[depth]
        if stride_in_1x1 and not bottleneck:
            raise ValueError(
                f"stride_in_1x1 needs bottleneck blocks, and a ResNet-{depth} has none; "
                "use depth 50 or 101"
            )
        self.depth = depth
        self.stride_in_1x1 = stride_in_1x1
        self.base_channels = base_channels
        self.epsilon = epsilon
        expansion = 4 if bottleneck else 1
        self.out_channels = tuple(base_channels * expansion * 2**stage for stage in range(4))

        with keras.name_scope(self.name):
            self.stem = ConvNorm(
                3,
                base_channels,
                7,
                2,
                activation="relu",
                norm=norm,
                epsilon=epsilon,
                dtype=self.dtype_policy,
                name="stem",
            )
            self.blocks, channels = [], base_channels
            for stage, (size, width) in enumerate(zip(stage_sizes, self.out_channels, strict=True)):
                for index in range(size):
                    self.blocks.append(
                        ResidualBlock(
                            channels,
                            width,
                            strides=2 if stage > 0 and index == 0 else 1,
                            bottleneck=bottleneck,
                            stride_in_1x1=stride_in_1x1,
                            norm=norm,
                            epsilon=epsilon,
                            dtype=self.dtype_policy,
                            name=f"stage{stage + 2}_block{index + 1}",
                        )
                    )
                    channels = width
        self._finish(list(accumulate(stage_sizes)))

    def _after_stem(self, features):
        # A zero border cannot win against the outputs of a ReLU.
        features = tf.pad(features, [[0, 0], [1, 1], [1, 1], [0, 0]])
        return tf.nn.max_pool2d(features, 3, 2, "VALID")

    def get_config(self):
        return {
            **super().get_config(),
            "depth": self.depth,
            "stride_in_1x1": self.stride_in_1x1,
            "base_channels": self.base_channels,
            "epsilon": self.epsilon,
        }
