"""Images in the middle of a square."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="mrcnn_tf")
class SquareImages(keras.layers.Layer):
    """Put every image of a batch into the middle of a square of black pixels.

    Where a side leaves an odd number of pixels, the image lies nearer to the top or left. What a
    batch holds beyond an image's own size is dropped.

    Args:
        side: smallest side of the squares in pixels; a larger image gets a larger one.
        multiple: the side is rounded up to a multiple of this.

    Call arguments:
        images: `[B, H, W, 3]`, any number type.
        image_sizes: `[B, 2]` integer, height and width that are real, at the top left.

    Returns:
        `squares [B, S, S, 3]` float32, and `windows [B, 4]` float32, where in its square each image
        lies: x1, y1, x2, y2 in pixels.

    Source: the mode `square` of Matterport's `resize_image`.

    Example:

    >>> squares, windows = SquareImages(64)(np.ones((1, 40, 50, 3)), np.array([[40, 50]]))
    >>> squares.shape, windows.numpy().tolist()
    (TensorShape([1, 64, 64, 3]), [[7.0, 12.0, 57.0, 52.0]])
    """

    def __init__(self, side: int, multiple: int = 64, **kwargs):
        super().__init__(autocast=False, dtype="float32", **kwargs)
        self.side = side
        self.multiple = multiple
        self.built = True

    def call(self, images, image_sizes):
        height_width = tf.shape(images)[1:3]
        side = tf.maximum(tf.reduce_max(height_width), self.side)
        side += -side % self.multiple
        sizes = tf.cast(image_sizes, tf.int32)
        corners = (side - sizes) // 2  # [B, 2]: top, left
        places = tf.range(side)[None, :, None] - corners[:, None, :]  # [B, S, 2]
        is_inside = (places >= 0) & (places < sizes[:, None, :])
        places = tf.where(is_inside, places, 0)
        squares = tf.gather(tf.cast(images, tf.float32), places[..., 0], axis=1, batch_dims=1)
        squares = tf.gather(squares, places[..., 1], axis=2, batch_dims=1)
        is_real = is_inside[:, :, None, 0] & is_inside[:, None, :, 1]
        squares = tf.where(is_real[..., None], squares, 0.0)
        windows = tf.concat([corners[:, ::-1], (corners + sizes)[:, ::-1]], axis=1)
        return squares, tf.cast(windows, tf.float32)

    def get_config(self):
        config = super().get_config()
        config.pop("dtype")
        return {**config, "side": self.side, "multiple": self.multiple}
