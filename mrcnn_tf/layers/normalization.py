"""Normalisation used inside backbones."""

import keras
import tensorflow as tf

NORMALIZATIONS = ("frozen_batch_norm", "batch_norm")


@keras.saving.register_keras_serializable(package="mrcnn_tf")
class FrozenBatchNormalization(keras.layers.Layer):
    """Batch normalisation whose statistics and affine parameters never change.

    `y = (x - moving_mean) / sqrt(moving_variance + epsilon) * gamma + beta`, whatever `training`
    says. The four vectors are weights, so they are saved and imported, but none is trainable:
    with two images a device, batch statistics would be noise. A new layer is the identity up to
    `epsilon`, so a backbone built on it should start from pretrained weights.

    Matches `FrozenBatchNorm2d` of torchvision and Detectron2.

    Args:
        channels: Number of channels C of the input `[..., C]`.
        epsilon: Added to the variance; 1e-5 for ResNets, 1e-3 for EfficientNets.

    Example:
        >>> layer = FrozenBatchNormalization(64)
        >>> layer(tf.zeros([2, 8, 8, 64])).shape
        TensorShape([2, 8, 8, 64])
    """

    def __init__(self, channels: int, epsilon: float = 1e-5, **kwargs):
        super().__init__(**kwargs)
        self.channels = channels
        self.epsilon = epsilon
        self.gamma = self._vector("gamma", "ones")
        self.beta = self._vector("beta", "zeros")
        self.moving_mean = self._vector("moving_mean", "zeros")
        self.moving_variance = self._vector("moving_variance", "ones")
        self.built = True

    def _vector(self, name: str, initializer: str):
        # Kept in float32 under a mixed policy: a bfloat16 variance has three significant digits.
        return self.add_weight(
            shape=(self.channels,),
            initializer=initializer,
            trainable=False,
            autocast=False,
            name=name,
        )

    def scale_and_shift(self) -> tuple[tf.Tensor, tf.Tensor]:
        """The layer as `x * scale + shift`, two float32 vectors `[C]`."""
        mean, variance = (
            tf.convert_to_tensor(self.moving_mean),
            tf.convert_to_tensor(self.moving_variance),
        )
        scale = tf.convert_to_tensor(self.gamma) * tf.math.rsqrt(variance + self.epsilon)
        return scale, tf.convert_to_tensor(self.beta) - mean * scale

    def call(self, inputs):
        scale, shift = self.scale_and_shift()
        return inputs * tf.cast(scale, inputs.dtype) + tf.cast(shift, inputs.dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "channels": self.channels, "epsilon": self.epsilon}


def build_normalization(
    kind: str, channels: int, epsilon: float, momentum: float = 0.9, **kwargs
) -> keras.layers.Layer:
    """Builds a normalisation layer whose weights exist already.

    Args:
        kind: `"frozen_batch_norm"` or `"batch_norm"` (Keras' own, statistics of the batch in
            training).
        channels: Number of channels of the input.
        epsilon: Added to the variance.
        momentum: Of the moving statistics; only `"batch_norm"` has any use for it.
        **kwargs: `name`, `dtype`.

    Raises:
        ValueError: `kind` is not known.
    """
    if kind == "frozen_batch_norm":
        return FrozenBatchNormalization(channels, epsilon, **kwargs)
    if kind == "batch_norm":
        layer = keras.layers.BatchNormalization(epsilon=epsilon, momentum=momentum, **kwargs)
        layer.build((None, None, None, channels))
        return layer
    raise ValueError(f"norm={kind!r} is not known; choose one of {', '.join(NORMALIZATIONS)}")
