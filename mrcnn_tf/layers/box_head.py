"""Class and box of every RoI."""

import keras
import tensorflow as tf

from mrcnn_tf.layers.conv_norm import apply_convs, build_conv


@keras.saving.register_keras_serializable(package="mrcnn_tf")
class BoxHead(keras.layers.Layer):
    """Convolutions if asked for, fully connected layers, then class logits and box deltas.

    With four convolutions of 256 channels and one layer of 1024 units it is Detectron2's and
    torchvision's `FastRCNNConvFCHead`, with two layers and no convolution the original.

    Args:
        in_channels: channels of the pooled features.
        num_classes: without background.
        pool_size: bins per side of the pooled features.
        units: widths of the hidden layers.
        class_agnostic: one set of deltas for all classes.
        conv_channels: widths of the 3x3 convolutions before the hidden layers.
        norm: normalisation after the convolutions, see `ConvNorm`; None for none.

    Call arguments:
        pooled: `[B, N, pool_size, pool_size, in_channels]`.
        is_valid: `[B, N]` bool, RoIs that count in batch statistics; all if not given.
        training: as in Keras.

    Returns:
        `logits [B, N, num_classes + 1]`, background last, and
        `deltas [B, N, num_classes or 1, 4]`; float32.

    Reference: Feature Pyramid Networks, section 4.2; with convolutions Wu and He, Group
    Normalization, 2018, section 4.2.

    Example:

    >>> logits, deltas = BoxHead(256, num_classes=80)(tf.zeros([1, 5, 7, 7, 256]))
    >>> logits.shape, deltas.shape
    (TensorShape([1, 5, 81]), TensorShape([1, 5, 80, 4]))
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        pool_size: int = 7,
        units: tuple[int, ...] = (1024, 1024),
        class_agnostic: bool = False,
        conv_channels: tuple[int, ...] = (),
        norm: str | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.in_channels = in_channels
        self.num_classes = num_classes
        self.pool_size = pool_size
        self.units = tuple(units)
        self.class_agnostic = class_agnostic
        self.num_delta_sets = 1 if class_agnostic else num_classes
        self.conv_channels = tuple(conv_channels)
        self.norm = norm

        def dense(width, stddev, name):
            return keras.layers.Dense(
                width,
                kernel_initializer=keras.initializers.RandomNormal(stddev=stddev),
                dtype=self.dtype_policy,
                name=name,
            )

        self.hidden = [
            keras.layers.Dense(
                width,
                activation="relu",
                kernel_initializer="he_uniform",
                dtype=self.dtype_policy,
                name=f"hidden{index + 1}",
            )
            for index, width in enumerate(self.units)
        ]
        self.logits = dense(num_classes + 1, 0.01, "logits")
        self.deltas = dense(self.num_delta_sets * 4, 0.001, "deltas")
        with keras.name_scope(self.name):
            self.convs, channels = [], in_channels
            for index, width in enumerate(self.conv_channels):
                self.convs.append(
                    build_conv(
                        channels,
                        width,
                        3,
                        norm,
                        activation="relu",
                        dtype=self.dtype_policy,
                        name=f"conv{index + 1}",
                    )
                )
                channels = width
            shape = (None, channels * pool_size**2)
            for layer in self.hidden:
                layer.build(shape)
                shape = layer.compute_output_shape(shape)
            self.logits.build(shape)
            self.deltas.build(shape)
        self.built = True

    def call(self, pooled, is_valid=None, training=None):
        batch, count = tf.shape(pooled)[0], tf.shape(pooled)[1]
        features = tf.reshape(pooled, [-1, self.pool_size, self.pool_size, self.in_channels])
        features = apply_convs(self.convs, features, is_valid, training)
        features = tf.reshape(features, [-1, self.pool_size**2 * features.shape[-1]])
        for layer in self.hidden:
            features = layer(features)
        logits = tf.cast(self.logits(features), tf.float32)
        deltas = tf.cast(self.deltas(features), tf.float32)
        return (
            tf.reshape(logits, [batch, count, self.num_classes + 1]),
            tf.reshape(deltas, [batch, count, self.num_delta_sets, 4]),
        )

    def get_config(self):
        return {
            **super().get_config(),
            "in_channels": self.in_channels,
            "num_classes": self.num_classes,
            "pool_size": self.pool_size,
            "units": self.units,
            "class_agnostic": self.class_agnostic,
            "conv_channels": self.conv_channels,
            "norm": self.norm,
        }
