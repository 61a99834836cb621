"""Class and box of every RoI."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="mrcnn_tf")
class BoxHead(keras.layers.Layer):
    """Fully connected layers, then class logits and box deltas.

    Args:
        in_channels: channels of the pooled features.
        num_classes: without background.
        pool_size: bins per side of the pooled features.
        units: widths of the hidden layers.
        class_agnostic: one set of deltas for all classes.

    Call arguments:
        pooled: `[B, N, pool_size, pool_size, in_channels]`.

    Returns:
        `logits [B, N, num_classes + 1]`, background last, and
        `deltas [B, N, num_classes or 1, 4]`; float32.

    Reference: Feature Pyramid Networks, section 4.2.

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
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.in_channels = in_channels
        self.num_classes = num_classes
        self.pool_size = pool_size
        self.units = tuple(units)
        self.class_agnostic = class_agnostic
        self.num_delta_sets = 1 if class_agnostic else num_classes

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
        shape = (None, in_channels * pool_size**2)
        with keras.name_scope(self.name):
            for layer in self.hidden:
                layer.build(shape)
                shape = layer.compute_output_shape(shape)
            self.logits.build(shape)
            self.deltas.build(shape)
        self.built = True

    def call(self, pooled):
        batch, count = tf.shape(pooled)[0], tf.shape(pooled)[1]
        features = tf.reshape(pooled, [-1, self.in_channels * self.pool_size**2])
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
        }
