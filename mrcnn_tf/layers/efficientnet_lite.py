"""EfficientNet-Lite0 as a feature extractor."""

import keras

from mrcnn_tf.layers.backbone import Backbone
from mrcnn_tf.layers.conv_norm import ConvNorm

# repeats, kernel size, stride of the first block, expansion, output channels, tapped at the end?
LITE0_STAGES = (
    (1, 3, 1, 1, 16, False),
    (2, 3, 2, 6, 24, True),
    (2, 5, 2, 6, 40, True),
    (3, 3, 2, 6, 80, False),
    (3, 5, 1, 6, 112, True),
    (4, 5, 2, 6, 192, False),
    (1, 3, 1, 6, 320, True),
)
STEM_CHANNELS = 32
EPSILON = 1e-3
MOMENTUM = 0.99


@keras.saving.register_keras_serializable(package="mrcnn_tf")
class InvertedResidualBlock(keras.layers.Layer):
    """A 1x1 expansion, a depthwise convolution and a linear 1x1 projection, both with ReLU6.

    Input and output are added where their shapes agree. No squeeze and excitation, as in all
    Lite models.

    Args:
        in_channels: Channels of the input `[B, H, W, in_channels]`.
        out_channels: Channels of the output.
        kernel_size: Side of the depthwise kernel.
        strides: 1 or 2, of the depthwise convolution.
        expansion: Factor between `in_channels` and the channels inside; 1 leaves out the
            expansion.
        norm: See `build_normalization`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        strides: int = 1,
        expansion: int = 6,
        norm: str = "frozen_batch_norm",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = kernel_size
        self.strides = strides
        self.expansion = expansion
        self.norm = norm

        common = {
            "padding": "same",
            "norm": norm,
            "epsilon": EPSILON,
            "momentum": MOMENTUM,
            "dtype": self.dtype_policy,
        }
        width = in_channels * expansion
        with keras.name_scope(self.name):
            self.expand = None
            if expansion != 1:
                self.expand = ConvNorm(
                    in_channels, width, 1, activation="relu6", name="expand", **common
                )
            self.depthwise = ConvNorm(
                width,
                width,
                kernel_size,
                strides,
                depthwise=True,
                activation="relu6",
                name="depthwise",
                **common,
            )
            self.project = ConvNorm(width, out_channels, 1, name="project", **common)
        self.built = True

    def call(self, inputs, training=None):
        features = inputs
        if self.expand is not None:
            features = self.expand(features, training=training)
        features = self.depthwise(features, training=training)
        features = self.project(features, training=training)
        if self.strides == 1 and self.in_channels == self.out_channels:
            features += inputs
        return features

    def get_config(self):
        return {
            **super().get_config(),
            "in_channels": self.in_channels,
            "out_channels": self.out_channels,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "expansion": self.expansion,
            "norm": self.norm,
        }


@keras.saving.register_keras_serializable(package="mrcnn_tf")
class EfficientNetLite0(Backbone):
    """EfficientNet-Lite0 without its head: `images [B, H, W, 3]` to features at four strides.

    The outputs are `[B, ceil(H / s), ceil(W / s), c]` for s in `strides` (4, 8, 16, 32) and c in
    `out_channels` (24, 40, 112, 320): the outputs of the last block before each downsampling,
    without an activation (the blocks' projections are linear). 3.0 million weights, an eighth of
    a ResNet-50. Input is normalised: `(rgb - 127) / 128`.

    Padding is TensorFlow's "same", under which the released weights were trained; on sizes that
    are multiples of 32 it pads one row less at the top and left of every stride-2 convolution
    than at the bottom and right.
    Reference: Tan and Le, EfficientNet, 2019; the Lite variants are Google's
    (tensorflow/tpu, models/official/efficientnet/lite).

    Args:
        norm: `"frozen_batch_norm"` (needs pretrained weights), `"batch_norm"` or
            `"sync_batch_norm"`; there are too few channels for groups.
        frozen_stages: 0 trains everything, 1 freezes the stem (its convolution alone), 2 the
            stem and the blocks up to stride 4, 3 up to stride 8, 4 up to 16, 5 all.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> backbone = EfficientNetLite0()
        >>> [c.shape[-1] for c in backbone(tf.zeros([1, 64, 64, 3]))]
        [24, 40, 112, 320]
    """

    image_mean = (127.0, 127.0, 127.0)
    image_std = (128.0, 128.0, 128.0)

    def __init__(self, norm: str = "frozen_batch_norm", frozen_stages: int = 0, **kwargs):
        super().__init__(norm, frozen_stages, **kwargs)
        self.out_channels = tuple(stage[4] for stage in LITE0_STAGES if stage[5])

        with keras.name_scope(self.name):
            self.stem = ConvNorm(
                3,
                STEM_CHANNELS,
                3,
                2,
                padding="same",
                activation="relu6",
                norm=norm,
                epsilon=EPSILON,
                momentum=MOMENTUM,
                dtype=self.dtype_policy,
                name="stem",
            )
            self.blocks, channels = [], STEM_CHANNELS
            tap_ends = []
            for repeats, kernel_size, strides, expansion, width, tapped in LITE0_STAGES:
                for index in range(repeats):
                    self.blocks.append(
                        InvertedResidualBlock(
                            channels,
                            width,
                            kernel_size,
                            strides if index == 0 else 1,
                            expansion,
                            norm,
                            dtype=self.dtype_policy,
                            name=f"block{len(self.blocks) + 1}",
                        )
                    )
                    channels = width
                if tapped:
                    tap_ends.append(len(self.blocks))
        self._finish(tap_ends)
