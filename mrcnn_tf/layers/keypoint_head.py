"""The heatmap of every joint of every RoI."""

import keras
import tensorflow as tf

from mrcnn_tf.layers.conv_norm import build_conv, he_fan_out


@keras.saving.register_keras_serializable(package="mrcnn_tf")
class KeypointHead(keras.layers.Layer):
    """3x3 convolutions, a transposed convolution to one map a joint, bilinear upsampling.

    Args:
        in_channels: channels of the pooled features.
        num_keypoints: joints of an object.
        channels: of the convolutions.
        num_convs: 3x3 convolutions before the transposed one.

    Call arguments:
        pooled: `[B, N, h, w, in_channels]`.

    Returns:
        Logits `[B, N, 4h, 4w, num_keypoints]`, float32: a softmax over the cells of one joint says
        where in the RoI it is.

    Reference: Mask R-CNN, section 5; torchvision's `KeypointRCNNHeads` and
    `KeypointRCNNPredictor`, Detectron2's `KRCNNConvDeconvUpsampleHead`.

    Example:

    >>> KeypointHead(256, num_keypoints=17)(tf.zeros([1, 5, 14, 14, 256])).shape
    TensorShape([1, 5, 56, 56, 17])
    """

    def __init__(
        self,
        in_channels: int,
        num_keypoints: int = 17,
        channels: int = 512,
        num_convs: int = 8,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.in_channels = in_channels
        self.num_keypoints = num_keypoints
        self.channels = channels
        self.num_convs = num_convs
        with keras.name_scope(self.name):
            self.convs = [
                build_conv(
                    in_channels if index == 0 else channels,
                    channels,
                    3,
                    activation="relu",
                    dtype=self.dtype_policy,
                    name=f"conv{index + 1}",
                )
                for index in range(num_convs)
            ]
        self.logits = keras.layers.Conv2DTranspose(
            num_keypoints,
            4,
            strides=2,
            padding="same",
            kernel_initializer=he_fan_out(),
            dtype=self.dtype_policy,
            name="logits",
        )
        with keras.name_scope(self.name):
            self.logits.build((None, None, None, channels if num_convs else in_channels))
        self.built = True

    def call(self, pooled):
        shape = tf.shape(pooled)
        height, width = pooled.shape[2], pooled.shape[3]
        features = tf.reshape(pooled, [-1, height, width, self.in_channels])
        logits = tf.cast(self.convolve(features), tf.float32)
        logits = tf.image.resize(logits, [height * 4, width * 4])
        return tf.reshape(logits, [shape[0], shape[1], height * 4, width * 4, self.num_keypoints])

    def convolve(self, features):
        """The convolutions alone: `[R, h, w, in_channels]` to `[R, 2h, 2w, num_keypoints]`."""
        for layer in self.convs:
            features = layer(features)
        return self.logits(features)

    def get_config(self):
        return {
            **super().get_config(),
            "in_channels": self.in_channels,
            "num_keypoints": self.num_keypoints,
            "channels": self.channels,
            "num_convs": self.num_convs,
        }
