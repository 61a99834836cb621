"""The region proposal network's convolutions."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="mrcnn_tf")
class RPNHead(keras.layers.Layer):
    """Objectness and box deltas at every position of every pyramid level, with shared weights.

    Args:
        in_channels: channels of the pyramid.
        num_anchors: anchors per position.
        channels: of the hidden convolutions; default `in_channels`.
        num_convs: hidden 3x3 convolutions; 1 in the paper, 2 in torchvision's v2 models.

    Call arguments:
        pyramid: list of `[B, H, W, C]`, one a level.

    Returns:
        Two lists, one entry a level: logits `[B, H * W * A]` and deltas `[B, H * W * A, 4]`,
        float32, in the order of `make_anchors`.

    Reference: Faster R-CNN, section 3.1; Feature Pyramid Networks, section 4.1.

    Example:

    >>> logits, deltas = RPNHead(256, num_anchors=3)([tf.zeros([1, 8, 8, 256])])
    >>> deltas[0].shape
    TensorShape([1, 192, 4])
    """

    def __init__(
        self,
        in_channels: int,
        num_anchors: int,
        channels: int | None = None,
        num_convs: int = 1,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.in_channels = in_channels
        self.num_anchors = num_anchors
        self.channels = channels or in_channels
        self.num_convs = num_convs

        def conv(filters, size, name):
            return keras.layers.Conv2D(
                filters,
                size,
                padding="same",
                activation="relu" if size > 1 else None,
                kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
                dtype=self.dtype_policy,
                name=name,
            )

        self.convs = [conv(self.channels, 3, f"conv{index + 1}") for index in range(num_convs)]
        self.logits = conv(num_anchors, 1, "logits")
        self.deltas = conv(num_anchors * 4, 1, "deltas")
        shape = (None, None, None, in_channels)
        with keras.name_scope(self.name):
            for layer in self.convs:
                layer.build(shape)
                shape = layer.compute_output_shape(shape)
            self.logits.build(shape)
            self.deltas.build(shape)
        self.built = True

    def call(self, pyramid):
        logits, deltas = [], []
        for features in pyramid:
            for conv in self.convs:
                features = conv(features)
            batch = tf.shape(features)[0]
            logits.append(tf.reshape(tf.cast(self.logits(features), tf.float32), [batch, -1]))
            deltas.append(tf.reshape(tf.cast(self.deltas(features), tf.float32), [batch, -1, 4]))
        return logits, deltas

    def get_config(self):
        return {
            **super().get_config(),
            "in_channels": self.in_channels,
            "num_anchors": self.num_anchors,
            "channels": self.channels,
            "num_convs": self.num_convs,
        }
