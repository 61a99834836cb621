"""Convolution, normalisation and activation as one layer: the unit networks are made of."""

import contextlib
from collections.abc import Iterator, Mapping

import keras
import tensorflow as tf

from mrcnn_tf.layers.normalization import (
    BatchNormalization,
    FrozenBatchNormalization,
    build_normalization,
    scale_and_shift,
)

ACTIVATIONS = {None: lambda features: features, "relu": tf.nn.relu, "relu6": tf.nn.relu6}

# In TensorFlow 2.21 (oneDNN 3.7) the kernel's gradient of a 1x1 convolution with strides, of fewer
# channels than this with AVX-512 or than 8 with AVX2, writes behind its memory or is wrong, see
# uxlfoundation/oneDNN#6035. Picking the cells out first is the same function without that kernel.
ONEDNN_BLOCK = 16

# What `folded` gives of each layer while an export is traced. One value for the process, as in
# `mrcnn_tf.ops.implementation`.
_stored: Mapping["ConvNorm", tuple[tf.Variable, tf.Variable]] = {}


@contextlib.contextmanager
def stored_folds(stored: Mapping["ConvNorm", tuple[tf.Variable, tf.Variable]]) -> Iterator[None]:
    """Makes the layers that are traced inside the block read what was folded before.

    A graph with variables multiplies kernels by scales at every run; an exporter can have it done
    once.

    Args:
        stored: by layer, what its `folded` gave, in any float type.

    Example:

    >>> layer = ConvNorm(3, 8, 3)
    >>> with stored_folds({layer: [tf.Variable(value) for value in layer.folded()]}):
    ...     outputs = layer(tf.zeros([1, 32, 32, 3]))
    """
    global _stored
    before, _stored = _stored, stored
    try:
        yield
    finally:
        _stored = before


@keras.saving.register_keras_serializable(package="mrcnn_tf")
class ConvNorm(keras.layers.Layer):
    """A convolution without bias, its normalisation and, optionally, an activation.

    A batch normalisation that is frozen, or uses its moving statistics because nothing is being
    trained, is folded into the kernel at run time: `conv(x, kernel * scale) + shift` instead of
    `conv(x, kernel) * scale + shift`. That is the same function with the same gradients, and the
    feature map is read and written once less in either direction, which on a CPU is most of what
    a normalisation costs. Exports compute the product once, see `stored_folds`.

    Args:
        in_channels: Channels of the input `[B, H, W, in_channels]`.
        out_channels: Channels of the output; equals `in_channels` if `depthwise`.
        kernel_size: Side of the square kernel.
        strides: 1 or 2, in both directions.
        padding: `"symmetric"` pads `kernel_size // 2` zeros on all four sides as PyTorch models
            do; `"same"` is TensorFlow's, which at stride 2 on an even size pads more at the
            bottom and right.
        depthwise: One filter a channel.
        activation: None, `"relu"` or `"relu6"`.
        norm: `"frozen_batch_norm"`, `"batch_norm"`, `"sync_batch_norm"` or `"group_norm"`, see
            `build_normalization`.
        epsilon: Of the normalisation.
        momentum: Of the normalisation's moving statistics.
        kernel_initializer: He's normal distribution by fan-out if not given.

    Call arguments:
        inputs: `[B, H, W, in_channels]`.
        is_valid: `[B]` bool, rows that count in batch statistics; all if not given.
        training: As in Keras.

    Raises:
        ValueError: An argument is not one of the values above, or the channels do not divide into
            the groups of `"group_norm"`.

    Example:
        >>> ConvNorm(3, 64, 7, strides=2, activation="relu")(tf.zeros([1, 64, 64, 3])).shape
        TensorShape([1, 32, 32, 64])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        strides: int = 1,
        padding: str = "symmetric",
        depthwise: bool = False,
        activation: str | None = None,
        norm: str = "frozen_batch_norm",
        epsilon: float = 1e-5,
        momentum: float = 0.9,
        kernel_initializer=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if padding not in ("symmetric", "same"):
            raise ValueError(f"padding={padding!r} is not known; choose symmetric or same")
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation={activation!r} is not known; choose None, relu or relu6")
        if depthwise and in_channels != out_channels:
            raise ValueError(
                f"a depthwise convolution keeps its {in_channels} channels; got "
                f"out_channels={out_channels}"
            )
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = kernel_size
        self.strides = strides
        self.padding = padding
        self.depthwise = depthwise
        self.activation = activation
        self.norm = norm
        self.epsilon = epsilon
        self.momentum = momentum
        self.kernel_initializer = keras.initializers.get(kernel_initializer or he_fan_out())

        filters = (in_channels, 1) if depthwise else (in_channels, out_channels)
        self.kernel = self.add_weight(
            shape=(kernel_size, kernel_size, *filters),
            initializer=self.kernel_initializer,
            autocast=False,
            name="kernel",
        )
        with keras.name_scope(self.name):
            self.normalization = build_normalization(
                norm, out_channels, epsilon, momentum, dtype=self.dtype_policy, name="norm"
            )
        self.built = True

    def call(self, inputs, is_valid=None, training=None):
        if self.is_affine(training):
            kernel, shift = _stored.get(self) or self.folded()
            outputs = self._convolve(inputs, tf.cast(kernel, inputs.dtype))
            outputs = tf.nn.bias_add(outputs, tf.cast(shift, outputs.dtype))
        else:
            kernel = tf.convert_to_tensor(self.kernel)
            outputs = self._convolve(inputs, tf.cast(kernel, inputs.dtype))
            if isinstance(self.normalization, BatchNormalization):
                outputs = self.normalization(outputs, is_valid=is_valid, training=training)
            else:
                outputs = self.normalization(outputs)
        return ACTIVATIONS[self.activation](outputs)

    def folded(self) -> tuple[tf.Tensor, tf.Tensor]:
        """The kernel with the scale of the normalisation in it, and the shift, float32."""
        scale, shift = scale_and_shift(self.normalization)
        kernel = tf.convert_to_tensor(self.kernel)
        return kernel * (scale[:, None] if self.depthwise else scale), shift

    def is_affine(self, training: bool) -> bool:
        """Whether the normalisation is `x * scale + shift` and can be folded."""
        norm = self.normalization
        if isinstance(norm, BatchNormalization):
            return not (training and norm.trainable)
        return isinstance(norm, FrozenBatchNormalization)

    def _convolve(self, inputs, kernel):
        padding, strides = "SAME", self.strides
        if self.kernel_size == 1 and strides > 1 and self.in_channels < ONEDNN_BLOCK:
            inputs, strides = inputs[:, ::strides, ::strides], 1
        if self.padding == "symmetric" and strides > 1 and self.kernel_size > 1:
            # At stride 1 "SAME" is symmetric already, and needs no copy of the input.
            border = [self.kernel_size // 2] * 2
            inputs = tf.pad(inputs, [[0, 0], border, border, [0, 0]])
            padding = "VALID"
        if self.depthwise:
            return tf.nn.depthwise_conv2d(inputs, kernel, [1, strides, strides, 1], padding)
        return tf.nn.conv2d(inputs, kernel, strides, padding)

    def get_config(self):
        return {
            **super().get_config(),
            "in_channels": self.in_channels,
            "out_channels": self.out_channels,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "depthwise": self.depthwise,
            "activation": self.activation,
            "norm": self.norm,
            "epsilon": self.epsilon,
            "momentum": self.momentum,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }


def he_fan_out() -> keras.initializers.Initializer:
    """PyTorch's `kaiming_normal_(mode="fan_out")`, which keeps the size of gradients."""
    return keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal")


def build_conv(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    norm: str | None = None,
    activation: str | None = None,
    kernel_initializer=None,
    **kwargs,
) -> keras.layers.Layer:
    """Builds a convolution of stride 1: `ConvNorm`, or without `norm` Keras' own with a bias.

    Args:
        in_channels, out_channels, kernel_size, norm, activation, kernel_initializer: see
            `ConvNorm`; `norm` None is none.
        **kwargs: `name`, `dtype`.
    """
    kernel_initializer = kernel_initializer or he_fan_out()
    if norm is not None:
        return ConvNorm(
            in_channels,
            out_channels,
            kernel_size,
            activation=activation,
            norm=norm,
            kernel_initializer=kernel_initializer,
            **kwargs,
        )
    conv = keras.layers.Conv2D(
        out_channels,
        kernel_size,
        padding="same",
        activation=activation,
        kernel_initializer=kernel_initializer,
        **kwargs,
    )
    conv.build((None, None, None, in_channels))
    return conv


def apply_convs(convs: list, features, is_valid=None, training=None):
    """Features `[N, H, W, C]` of RoIs through layers of `build_conv`, in turn.

    Args:
        convs: the layers.
        features: of all RoIs of a batch.
        is_valid: `[B, R]` bool with B * R = N, RoIs that count in batch statistics; all if None.
        training: as in Keras.
    """
    if is_valid is not None:
        is_valid = tf.reshape(is_valid, [-1])
    for conv in convs:
        if isinstance(conv, ConvNorm):
            features = conv(features, is_valid=is_valid, training=training)
        else:
            features = conv(features)
    return features
