"""Convolution, normalisation and activation as one layer: the unit backbones are made of."""

import keras
import tensorflow as tf

from mrcnn_tf.layers.normalization import FrozenBatchNormalization, build_normalization

ACTIVATIONS = {None: lambda features: features, "relu": tf.nn.relu, "relu6": tf.nn.relu6}


@keras.saving.register_keras_serializable(package="mrcnn_tf")
class ConvNorm(keras.layers.Layer):
    """A convolution without bias, its normalisation and, optionally, an activation.

    With `norm="frozen_batch_norm"` the normalisation is folded into the kernel at run time:
    `conv(x, kernel * scale) + shift` instead of `conv(x, kernel) * scale + shift`. That is the
    same function with the same gradients, and the feature map is read and written once less in
    either direction, which on a CPU is most of what a normalisation costs. Exported graphs
    hold constants, so there the product is computed once by the converter.

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
        norm: `"frozen_batch_norm"` or `"batch_norm"`.
        epsilon: Of the normalisation.
        momentum: Of the normalisation's moving statistics.

    Raises:
        ValueError: An argument is not one of the values above.

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

        filters = (in_channels, 1) if depthwise else (in_channels, out_channels)
        self.kernel = self.add_weight(
            shape=(kernel_size, kernel_size, *filters),
            initializer=keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal"),
            autocast=False,
            name="kernel",
        )
        with keras.name_scope(self.name):
            self.normalization = build_normalization(
                norm, out_channels, epsilon, momentum, dtype=self.dtype_policy, name="norm"
            )
        self.built = True

    def call(self, inputs, training=None):
        kernel = tf.convert_to_tensor(self.kernel)
        if isinstance(self.normalization, FrozenBatchNormalization):
            scale, shift = self.normalization.scale_and_shift()
            kernel *= scale[:, None] if self.depthwise else scale
            outputs = self._convolve(inputs, tf.cast(kernel, inputs.dtype))
            outputs = tf.nn.bias_add(outputs, tf.cast(shift, outputs.dtype))
        else:
            outputs = self._convolve(inputs, tf.cast(kernel, inputs.dtype))
            outputs = self.normalization(outputs, training=training)
        return ACTIVATIONS[self.activation](outputs)

    def _convolve(self, inputs, kernel):
        padding = "SAME"
        if self.padding == "symmetric" and self.strides > 1 and self.kernel_size > 1:
            # At stride 1 "SAME" is symmetric already, and needs no copy of the input.
            border = [self.kernel_size // 2] * 2
            inputs = tf.pad(inputs, [[0, 0], border, border, [0, 0]])
            padding = "VALID"
        if self.depthwise:
            return tf.nn.depthwise_conv2d(
                inputs, kernel, [1, self.strides, self.strides, 1], padding
            )
        return tf.nn.conv2d(inputs, kernel, self.strides, padding)

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
        }
