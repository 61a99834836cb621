"""Anchors of a whole pyramid."""

import keras
import numpy as np
import tensorflow as tf

from mrcnn_tf.boxes import cell_anchors, make_anchors


@keras.saving.register_keras_serializable(package="mrcnn_tf")
class AnchorGenerator(keras.layers.Layer):
    """Anchors of every level, from the shapes of the feature maps.

    Args:
        sizes: for each level, the side of its square anchor in pixels, or a list of several.
        ratios: height / width of the anchors.
        strides: pixels between two positions, one a level.
        offset: position of the first centre in strides, see `make_anchors`.
        rounded: whole pixels, as in torchvision: the anchors of a cell have their corners rounded,
            and a level of n rows has its centres `image height // n` apart, the image being the
            first level times its stride. An image 800 px high has 13 rows of stride 64, which
            stand every 61 px.

    Call arguments:
        pyramid: list of `[B, H, W, C]`.

    Returns:
        List of `[H * W * A, 4]` float32, pixels.

    Example:

    >>> layer = AnchorGenerator(sizes=(32,), ratios=(0.5, 1.0, 2.0), strides=(4,))
    >>> layer([tf.zeros([1, 8, 8, 256])])[0].shape
    TensorShape([192, 4])
    """

    def __init__(
        self, sizes, ratios, strides, offset: float = 0.0, rounded: bool = False, **kwargs
    ):
        super().__init__(autocast=False, dtype="float32", **kwargs)
        self.sizes = tuple(
            tuple(size) if isinstance(size, (list, tuple)) else (size,) for size in sizes
        )
        self.ratios = tuple(ratios)
        self.strides = tuple(strides)
        self.offset = offset
        self.rounded = rounded
        if len(self.sizes) != len(self.strides):
            raise ValueError(
                f"anchor_sizes has {len(self.sizes)} entries, but the pyramid has "
                f"{len(self.strides)} levels (strides {list(self.strides)}): give one size a level."
            )
        counts = {len(sizes) for sizes in self.sizes}
        if len(counts) != 1:
            raise ValueError(
                f"anchor_sizes {self.sizes} has levels with different numbers of sizes; the RPN "
                "shares its weights, so every level needs the same number."
            )
        self.num_anchors = counts.pop() * len(self.ratios)
        self.built = True

    def call(self, pyramid):
        anchors = []
        for features, sizes, stride in zip(pyramid, self.sizes, self.strides, strict=True):
            cell = np.concatenate([cell_anchors(size, self.ratios) for size in sizes])
            height, width = tf.unstack(tf.shape(features)[1:3])
            if self.rounded:
                cell = np.round(cell)
                image = tf.shape(pyramid[0])[1:3] * self.strides[0]
                stride = (image[0] // height, image[1] // width)
            anchors.append(make_anchors(height, width, stride, cell, self.offset))
        return anchors

    def get_config(self):
        config = super().get_config()
        config.pop("dtype")
        return {
            **config,
            "sizes": self.sizes,
            "ratios": self.ratios,
            "strides": self.strides,
            "offset": self.offset,
            "rounded": self.rounded,
        }
