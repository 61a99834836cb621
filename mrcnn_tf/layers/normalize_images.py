"""From pixels to the backbone's input."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="mrcnn_tf")
class NormalizeImages(keras.layers.Layer):
    """Subtract the mean, divide by the deviation, and pad with zeros *after* that.

    The padding of a batch, whatever its pixels hold, becomes zero, as it is in torchvision and
    Detectron2, which normalise before they pad; so nothing can be learnt from it.

    Args:
        mean: three numbers, red, green, blue, in 0..255.
        std: three numbers, in the same unit.
        multiple: height and width are padded at the bottom and right to a multiple of this.

    Call arguments:
        images: `[B, H, W, 3]`, any number type, RGB in 0..255.
        image_sizes: `[B, 2]` integer, height and width that are real.

    Returns:
        `[B, H', W', 3]` float32.

    Example:

    >>> layer = NormalizeImages((127, 127, 127), (128, 128, 128))
    >>> layer(np.zeros((1, 40, 64, 3), "uint8"), np.array([[40, 64]])).shape
    TensorShape([1, 64, 64, 3])
    """

    def __init__(self, mean, std, multiple: int = 32, **kwargs):
        super().__init__(autocast=False, dtype="float32", **kwargs)
        self.mean = tuple(float(value) for value in mean)
        self.std = tuple(float(value) for value in std)
        self.multiple = multiple
        self.built = True

    def call(self, images, image_sizes):
        height, width = tf.shape(images)[1], tf.shape(images)[2]
        images = (tf.cast(images, tf.float32) - self.mean) / self.std
        image_sizes = tf.cast(image_sizes, tf.int32)
        rows = tf.range(height)[None] < image_sizes[:, :1]  # [B, H]
        columns = tf.range(width)[None] < image_sizes[:, 1:]  # [B, W]
        is_real = rows[:, :, None, None] & columns[:, None, :, None]
        images = tf.where(is_real, images, 0.0)
        bottom, right = -height % self.multiple, -width % self.multiple
        return tf.pad(images, [[0, 0], [0, bottom], [0, right], [0, 0]])

    def get_config(self):
        config = super().get_config()
        config.pop("dtype")
        return {**config, "mean": self.mean, "std": self.std, "multiple": self.multiple}
