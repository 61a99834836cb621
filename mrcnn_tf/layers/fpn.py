"""Feature pyramid network."""

import keras
import tensorflow as tf

from mrcnn_tf.layers.conv_norm import build_conv


@keras.saving.register_keras_serializable(package="mrcnn_tf")
class FPN(keras.layers.Layer):
    """Feature pyramid: backbone features at strides 4 to 32 to maps of equal width, P2 to P6.

    Each level is a 1x1 lateral convolution of its backbone map plus the coarser level, upsampled
    by nearest neighbour, then a 3x3 convolution. Levels above 5 are the level below subsampled
    by 2 (a max pooling with a 1x1 window). The call takes the backbone's list of four maps
    `[B, H_l, W_l, in_channels[l]]` and returns a list of `max_level - min_level + 1` maps
    `[B, H_l, W_l, channels]`, finest first; their strides are in `strides`.

    Matches torchvision's `FeaturePyramidNetwork` with `LastLevelMaxPool` and Detectron2's FPN.
    Convolutions start from uniform values within sqrt(3 / fan in), which is PyTorch's
    `kaiming_uniform_(a=1)` and Keras' `lecun_uniform`; biases from 0.
    Reference: Lin et al., Feature Pyramid Networks for Object Detection, 2017.

    Args:
        in_channels: Channels of the backbone's maps at strides 4, 8, 16 and 32.
        channels: Channels of every output.
        min_level: Finest level, 2 (stride 4) to 5. Backbone maps finer than it are not used.
        max_level: Coarsest level, at least 5.
        norm: Normalisation after every convolution, see `ConvNorm`, which then has no bias; None
            for none. torchvision's v2 models have `"batch_norm"`.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> backbone = ResNet(50)
        >>> pyramid = FPN(backbone.out_channels)
        >>> [p.shape[1] for p in pyramid(backbone(tf.zeros([1, 128, 128, 3])))]
        [32, 16, 8, 4, 2]
    """

    def __init__(
        self,
        in_channels: tuple[int, ...],
        channels: int = 256,
        min_level: int = 2,
        max_level: int = 6,
        norm: str | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if len(in_channels) != 4:
            raise ValueError(
                f"in_channels={tuple(in_channels)} must name the channels at strides 4, 8, 16, 32"
            )
        if not 2 <= min_level <= 5 <= max_level:
            raise ValueError(
                f"min_level={min_level} must lie in 2..5 and max_level={max_level} be at least 5"
            )
        self.in_channels = tuple(in_channels)
        self.channels = channels
        self.min_level = min_level
        self.max_level = max_level
        self.norm = norm
        self.strides = tuple(2**level for level in range(min_level, max_level + 1))

        with keras.name_scope(self.name):
            self.laterals, self.outputs = [], []
            for level in range(min_level, 6):
                inputs = self.in_channels[level - 2]
                self.laterals.append(self._conv(inputs, 1, f"lateral{level}"))
                self.outputs.append(self._conv(channels, 3, f"output{level}"))
        self.built = True

    def _conv(self, in_channels: int, kernel_size: int, name: str) -> keras.layers.Layer:
        return build_conv(
            in_channels,
            self.channels,
            kernel_size,
            self.norm,
            kernel_initializer="lecun_uniform",
            dtype=self.dtype_policy,
            name=name,
        )

    def call(self, features, training=None):
        laterals = [
            conv(c, training=training)
            for conv, c in zip(self.laterals, features[self.min_level - 2 :], strict=True)
        ]
        merged = laterals[-1:]
        for lateral in reversed(laterals[:-1]):
            merged.insert(0, lateral + upsample(merged[0], lateral))
        pyramid = [conv(m, training=training) for conv, m in zip(self.outputs, merged, strict=True)]
        for _ in range(self.max_level - 5):
            pyramid.append(tf.nn.max_pool2d(pyramid[-1], 1, 2, "VALID"))
        return pyramid

    def get_config(self):
        return {
            **super().get_config(),
            "in_channels": list(self.in_channels),
            "channels": self.channels,
            "min_level": self.min_level,
            "max_level": self.max_level,
            "norm": self.norm,
        }


def upsample(coarse, fine):
    """`coarse` by nearest neighbour at the height and width of `fine`, as PyTorch rounds."""
    return tf.raw_ops.ResizeNearestNeighbor(images=coarse, size=tf.shape(fine)[1:3])
