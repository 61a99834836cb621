"""The mask of every RoI."""

import keras
import tensorflow as tf

from mrcnn_tf.layers.conv_norm import apply_convs, build_conv


@keras.saving.register_keras_serializable(package="mrcnn_tf")
class MaskHead(keras.layers.Layer):
    """A small fully convolutional network: 3x3 convolutions, upsampling, a mask per class.

    Args:
        in_channels: channels of the pooled features.
        num_classes: without background.
        channels: of the convolutions and the upsampling.
        num_convs: 3x3 convolutions before the upsampling.
        class_agnostic: one mask for all classes.
        norm: normalisation after the 3x3 convolutions, see `ConvNorm`; None for none.

    Call arguments:
        pooled: `[B, N, h, w, in_channels]`.
        is_valid: `[B, N]` bool, RoIs that count in batch statistics; all if not given.
        training: as in Keras.

    Returns:
        Logits `[B, N, 2h, 2w, num_classes or 1]`, float32.

    Reference: Mask R-CNN, figure 4 (right).

    Example:

    >>> MaskHead(256, num_classes=80)(tf.zeros([1, 5, 14, 14, 256])).shape
    TensorShape([1, 5, 28, 28, 80])
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        channels: int = 256,
        num_convs: int = 4,
        class_agnostic: bool = False,
        norm: str | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.in_channels = in_channels
        self.num_classes = num_classes
        self.channels = channels
        self.num_convs = num_convs
        self.class_agnostic = class_agnostic
        self.num_masks = 1 if class_agnostic else num_classes
        self.norm = norm
        with keras.name_scope(self.name):
            self.convs = [
                build_conv(
                    in_channels if index == 0 else channels,
                    channels,
                    3,
                    norm,
                    activation="relu",
                    dtype=self.dtype_policy,
                    name=f"conv{index + 1}",
                )
                for index in range(num_convs)
            ]
        self.upsample = keras.layers.Conv2DTranspose(
            channels,
            2,
            strides=2,
            activation="relu",
            # Each output sees one tap of the 2x2 kernel, so its fan-in is the channels alone.
            kernel_initializer=keras.initializers.RandomNormal(stddev=(2.0 / channels) ** 0.5),
            dtype=self.dtype_policy,
            name="upsample",
        )
        self.logits = keras.layers.Conv2D(
            self.num_masks,
            1,
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.001),
            dtype=self.dtype_policy,
            name="logits",
        )
        with keras.name_scope(self.name):
            self.upsample.build((None, None, None, channels if num_convs else in_channels))
            self.logits.build((None, None, None, channels))
        self.built = True

    def call(self, pooled, is_valid=None, training=None):
        shape = tf.shape(pooled)
        height, width = pooled.shape[2], pooled.shape[3]
        features = tf.reshape(pooled, [-1, height, width, self.in_channels])
        features = apply_convs(self.convs, features, is_valid, training)
        logits = tf.cast(self.logits(self.upsample(features)), tf.float32)
        return tf.reshape(logits, [shape[0], shape[1], height * 2, width * 2, self.num_masks])

    def get_config(self):
        return {
            **super().get_config(),
            "in_channels": self.in_channels,
            "num_classes": self.num_classes,
            "channels": self.channels,
            "num_convs": self.num_convs,
            "class_agnostic": self.class_agnostic,
            "norm": self.norm,
        }
