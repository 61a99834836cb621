"""Normalisation after convolutions, by name."""

import keras
import tensorflow as tf

from mrcnn_tf import replicas

NORMALIZATIONS = ("frozen_batch_norm", "batch_norm", "sync_batch_norm", "group_norm")

# Of Detectron2's "GN" and of the paper.
GROUPS = 32


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

    def call(self, inputs):
        scale, shift = scale_and_shift(self)
        return inputs * tf.cast(scale, inputs.dtype) + tf.cast(shift, inputs.dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "channels": self.channels, "epsilon": self.epsilon}


@keras.saving.register_keras_serializable(package="mrcnn_tf")
class BatchNormalization(keras.layers.BatchNormalization):
    """Keras' batch normalisation, whose batch statistics can leave rows of the batch out.

    The RoIs of an image fill a fixed number of rows, of which some hold none. Peers concatenate
    the RoIs that there are; `is_valid` gives the same statistics without a shape that changes
    from step to step. All rows are normalised. A batch without any valid row is normalised with
    the moving statistics and leaves them as they are.

    With `synchronized=True` statistics are of the valid rows of all replicas.

    Args:
        **kwargs: of `keras.layers.BatchNormalization`.

    Call arguments:
        inputs: `[B, H, W, C]`.
        is_valid: `[B]` bool, or None for all.
        training: as in Keras: batch statistics only if True and the layer is trainable.

    Example:
        >>> layer = build_normalization("batch_norm", 8, 1e-5)
        >>> rois = tf.random.normal([3, 7, 7, 8])
        >>> same = layer(rois, is_valid=[True, True, False], training=True)[:2]
    """

    def call(self, inputs, is_valid=None, training=None):
        if is_valid is None or not (training and self.trainable):
            return super().call(inputs, training=training)
        inputs = tf.cast(inputs, tf.float32)
        weights = tf.cast(is_valid, tf.float32)[:, None]
        count = self._total(tf.reduce_sum(weights))

        def mean_over_valid(values):
            per_row = tf.reduce_mean(values, axis=[1, 2])  # [B, C]
            return self._total(tf.reduce_sum(per_row * weights, axis=0)) / tf.maximum(count, 1.0)

        old_mean = tf.convert_to_tensor(self.moving_mean)
        old_variance = tf.convert_to_tensor(self.moving_variance)
        mean = mean_over_valid(inputs)
        variance = mean_over_valid(tf.square(inputs - mean))
        mean = tf.where(count > 0, mean, old_mean)
        variance = tf.where(count > 0, variance, old_variance)
        self.moving_mean.assign(old_mean + (mean - old_mean) * (1.0 - self.momentum))
        self.moving_variance.assign(
            old_variance + (variance - old_variance) * (1.0 - self.momentum)
        )
        gamma, beta = tf.convert_to_tensor(self.gamma), tf.convert_to_tensor(self.beta)
        outputs = tf.nn.batch_normalization(inputs, mean, variance, beta, gamma, self.epsilon)
        return tf.cast(outputs, self.compute_dtype)

    def _total(self, value):
        return replicas.total(value) if self.synchronized else value


def scale_and_shift(layer) -> tuple[tf.Tensor, tf.Tensor]:
    """A batch normalisation with its moving statistics as `x * scale + shift`, float32 `[C]`."""
    gamma, beta, mean, variance = (
        tf.convert_to_tensor(vector)
        for vector in (layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance)
    )
    scale = gamma * tf.math.rsqrt(variance + layer.epsilon)
    return scale, beta - mean * scale


def build_normalization(
    kind: str, channels: int, epsilon: float, momentum: float = 0.9, **kwargs
) -> keras.layers.Layer:
    """Builds a normalisation layer whose weights exist already.

    Args:
        kind: `"frozen_batch_norm"`; `"batch_norm"`, with statistics of the batch in training;
            `"sync_batch_norm"`, the same over the batches of all replicas; or `"group_norm"`,
            per image over 32 groups of channels (Wu and He, Group Normalization, 2018).
        channels: Number of channels of the input.
        epsilon: Added to the variance.
        momentum: Of the moving statistics, where they move.
        **kwargs: `name`, `dtype`.

    Raises:
        ValueError: `kind` is not known, or the channels do not fall into 32 equal groups.
    """
    if kind == "frozen_batch_norm":
        return FrozenBatchNormalization(channels, epsilon, **kwargs)
    if kind in ("batch_norm", "sync_batch_norm"):
        layer = BatchNormalization(
            epsilon=epsilon, momentum=momentum, synchronized=kind == "sync_batch_norm", **kwargs
        )
    elif kind == "group_norm":
        if channels % GROUPS:
            raise ValueError(
                f"norm='group_norm' makes {GROUPS} groups, into which {channels} channels do not "
                f"divide; choose a multiple of {GROUPS} channels or another norm"
            )
        layer = keras.layers.GroupNormalization(GROUPS, epsilon=epsilon, **kwargs)
    else:
        raise ValueError(f"norm={kind!r} is not known; choose one of {', '.join(NORMALIZATIONS)}")
    layer.build((None, None, None, channels))
    return layer
