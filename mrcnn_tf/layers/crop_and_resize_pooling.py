"""RoI pooling by cropping and resizing."""

import math

import keras
import tensorflow as tf

from mrcnn_tf.boxes import to_inclusive
from mrcnn_tf.ops.shapes import finite

# Rounding may carry the last sample of a box past the last cell, where there is nothing but zeros.
LAST = 1.0 - 2.0**-22


@keras.saving.register_keras_serializable(package="mrcnn_tf")
class CropAndResizePooling(keras.layers.Layer):
    """`tf.image.crop_and_resize` over the pyramid: one bilinear sample a bin, corner to corner.

    The first and the last sample lie on the first and the last pixel of the box, and those of the
    image on the centres of the first and the last cell of a map. RoIAlign puts its samples inside
    of bins instead. A box is pooled from the level round(4 + log2(sqrt(width * height) / size)),
    in which a box of the whole image is as large as the image.

    Args:
        output_size: bins per side.
        strides: pixels per cell, one a level.
        canonical_size: side in pixels of the square box that is pooled from P4.

    Call arguments:
        pyramid: list of `[B, H, W, C]`, of images that the coarsest stride divides.
        boxes: `[B, N, 4]` float32, pixels of the image and inside it; no gradient reaches them.

    Returns:
        `[B, N, output_size, output_size, C]`; zeros for a box that is not finite.

    Source: Matterport's `PyramidROIAlign`.
    """

    def __init__(self, output_size: int, strides, canonical_size: float = 224, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.output_size = output_size
        self.strides = tuple(strides)
        self.canonical_size = canonical_size
        self.supports_jit = False
        self.built = True

    def call(self, pyramid, boxes):
        batch, count = tf.shape(boxes)[0], tf.shape(boxes)[1]
        is_box = tf.reduce_all(finite(boxes), axis=-1)
        boxes = tf.where(is_box[..., None], tf.stop_gradient(boxes), 0.0)
        height_width = tf.cast(tf.shape(pyramid[0])[1:3] * self.strides[0], tf.float32)
        last = tf.tile(height_width[::-1] - 1.0, [2])  # width - 1, height - 1, twice
        boxes = tf.reshape(to_inclusive(boxes) / last, [-1, 4])  # 0..1
        levels = self._levels(boxes, tf.reduce_prod(height_width))
        x1, y1, x2, y2 = tf.unstack(tf.minimum(boxes, LAST), axis=-1)
        corners = tf.stack([y1, x1, y2, x2], axis=-1)
        images = tf.repeat(tf.range(batch), count)
        rows, crops = [], []
        for level, features in enumerate(pyramid):
            rows.append(tf.cast(tf.where(levels == level)[:, 0], tf.int32))
            crops.append(
                tf.image.crop_and_resize(
                    tf.cast(features, tf.float32),
                    tf.gather(corners, rows[-1]),
                    tf.gather(images, rows[-1]),
                    [self.output_size] * 2,
                )
            )
        pooled = tf.dynamic_stitch(rows, crops)
        shape = [batch, count, self.output_size, self.output_size, pyramid[0].shape[-1]]
        pooled = tf.where(is_box[..., None, None, None], tf.reshape(pooled, shape), 0.0)
        return tf.cast(pooled, pyramid[0].dtype)

    def _levels(self, boxes, image_area):
        """Index into the pyramid of each of `[N, 4]` boxes from 0 to 1."""
        sides = tf.maximum(boxes[:, 2:] - boxes[:, :2], 0.0)
        size = tf.sqrt(tf.maximum(tf.reduce_prod(sides, axis=-1) * image_area, 1e-12))
        finest = int(math.log2(self.strides[0]))
        level = 4 - finest + tf.round(tf.math.log(size / self.canonical_size) / math.log(2.0))
        return tf.clip_by_value(tf.cast(level, tf.int32), 0, len(self.strides) - 1)

    def get_config(self):
        return {
            **super().get_config(),
            "output_size": self.output_size,
            "strides": self.strides,
            "canonical_size": self.canonical_size,
        }
