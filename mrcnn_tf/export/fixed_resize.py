"""Resizing of images of any size on a canvas, with fixed shapes and few kinds of ops."""

from fractions import Fraction

import numpy as np
import tensorflow as tf

from mrcnn_tf.ops.resize_image import check_method, resized_shape

# Halves are frequent, and in products of float32 they lie a little below or above by the order of
# the sums, which runtimes choose for themselves: so that all round them alike, they round up.
_HALF = 0.501


class FixedResize:
    """`resize_image` for images in the upper left of a canvas, onto a canvas of another size.

    `resize_image` gives an image the shape that its size asks for. Runtimes with fixed shapes have
    no such thing, so here each axis is a product with a matrix of interpolation weights, which is
    computed from the image's size. It uses no integers but int32, no float64 and no rounding op.

    Args:
        canvas: height and width in pixels that images have at most.
        short_side: see `resized_shape`.
        long_side: likewise.
        method: see `resize_image`.

    Attributes:
        new_canvas: height and width of the result: what an image as large as the canvas becomes.
            An image that would become larger in one direction is resized to fit.

    Raises:
        ValueError: the method is not known.

    Example:

    >>> resize = FixedResize((480, 640), 800, 1333)
    >>> resize.new_canvas
    (800, 1067)
    """

    def __init__(self, canvas: tuple[int, int], short_side: int, long_side: int, method: str):
        check_method("method", method)
        self.canvas = tuple(canvas)
        self.sides = short_side, long_side
        self.method = method
        self.new_canvas = resized_shape(*canvas, short_side, long_side, method)

    def new_sizes(self, sizes: tf.Tensor) -> tf.Tensor:
        """Height and width `[B, 2]` int32 after resizing, of images of these sizes.

        Where the canvas does not limit them they are those of `resized_shape`, except that of
        `"detectron2"` and `"matterport"` a side exactly between two pixels may take the other one.
        """
        short_side, long_side = self.sides
        short, long = tf.reduce_min(sizes, axis=1), tf.reduce_max(sizes, axis=1)
        numerator, denominator = tf.fill(tf.shape(short), short_side), short
        if self.method == "matterport":  # which does not shrink a short side
            numerator = tf.maximum(numerator, short)
        limits = (
            (tf.fill(tf.shape(long), long_side), long),
            (tf.fill(tf.shape(long), self.new_canvas[0]), sizes[:, 0]),
            (tf.fill(tf.shape(long), self.new_canvas[1]), sizes[:, 1]),
        )
        for limit, side in limits:
            is_smaller = limit * denominator < numerator * side
            numerator = tf.where(is_smaller, limit, numerator)
            denominator = tf.where(is_smaller, side, denominator)
        numerator, denominator = numerator[:, None], denominator[:, None]
        if self.method == "torchvision":
            new_sizes = self._truncated(sizes, numerator, denominator)
        else:
            new_sizes = (2 * sizes * numerator + denominator) // (2 * denominator)
        return tf.clip_by_value(new_sizes, 1, tf.constant([self.new_canvas]))

    def __call__(self, images: tf.Tensor, sizes: tf.Tensor, new_sizes: tf.Tensor) -> tf.Tensor:
        """Resizes a batch.

        Args:
            images: `[B, H, W, 3]` float32 in 0..255, H and W those of the canvas; what lies beyond
                `sizes` does not matter.
            sizes: `[B, 2]` int32, height and width of each image.
            new_sizes: `[B, 2]` int32, see `new_sizes`.

        Returns:
            `[B, h, w, 3]` float32 with zeros beyond `new_sizes`; whole values where `resize_image`
            gives such.
        """
        (height, width), (new_height, new_width) = self.canvas, self.new_canvas
        rows = self._weights(sizes[:, 0], new_sizes[:, 0], height, new_height)
        columns = self._weights(sizes[:, 1], new_sizes[:, 1], width, new_width)
        by_column = tf.reshape(tf.transpose(images, [0, 2, 1, 3]), [-1, width, height * 3])
        wide = tf.reshape(columns @ by_column, [-1, new_width, height, 3])
        if self.method == "detectron2":
            wide = tf.floor(wide + _HALF)
        by_row = tf.reshape(tf.transpose(wide, [0, 2, 1, 3]), [-1, height, new_width * 3])
        resized = tf.reshape(rows @ by_row, [-1, new_height, new_width, 3])
        if self.method == "torchvision":
            return resized
        return tf.floor(resized + (1e-3 if self.method == "matterport" else _HALF))

    def _weights(self, size, new_size, limit: int, new_limit: int) -> tf.Tensor:
        """The share `[B, new_limit, limit]` of every pixel of an axis in every new one."""
        pixels, new_pixels = tf.range(limit), tf.range(new_limit)
        scale = (tf.cast(size, tf.float32) / tf.cast(new_size, tf.float32))[:, None]
        at = (tf.cast(new_pixels, tf.float32) + 0.5) * scale - 0.5
        reach = tf.ones_like(scale)
        if self.method == "torchvision":
            at = tf.clip_by_value(at, 0.0, tf.cast(size - 1, tf.float32)[:, None])
        elif self.method != "matterport":
            reach = tf.maximum(scale, 1.0)
        distance = tf.abs(at[:, :, None] - tf.cast(pixels, tf.float32))
        weights = tf.maximum(1.0 - distance / reach[:, :, None], 0.0)
        is_real = pixels[None, None, :] < size[:, None, None]
        weights = tf.where(is_real, weights, 0.0)
        if self.method in ("antialias", "detectron2"):
            weights /= tf.maximum(tf.reduce_sum(weights, axis=-1, keepdims=True), 1e-6)
        is_new = new_pixels[None, :, None] < new_size[:, None, None]
        return tf.where(is_new, weights, 0.0)

    def _truncated(self, sizes, numerator, denominator):
        """The product rounded down as in double precision, which may miss a whole number by one."""
        whole, rest = sizes * numerator // denominator, sizes * numerator % denominator
        errors, halves = self._rounding_tables()
        error = tf.gather(errors[0], denominator)
        for side, of_side in zip(self.sides, errors, strict=True):
            error = tf.where(numerator == side, tf.gather(of_side, denominator), error)
        error *= tf.cast(sizes, tf.float32)
        is_below = (rest == 0) & (error < -tf.gather(halves, tf.minimum(whole, len(halves) - 1)))
        return whole - tf.cast(is_below, tf.int32)

    def _rounding_tables(self):
        """Rounding errors in units of 2^-53: of side / n for every n, and what a product forgives.

        A product of a quotient that is too small by some error is still rounded to a whole number
        as long as it is less than half the distance to the next smaller number away from it.
        """
        limit = max(self.canvas) + 1
        errors = [
            [
                0.0,
                *(float((Fraction(side / n) - Fraction(side, n)) * 2**53) for n in range(1, limit)),
            ]
            for side in self.sides
        ]
        wholes = np.arange(max(self.new_canvas) + 2, dtype=np.float64)
        halves = (wholes - np.nextafter(wholes, -1.0)) / 2 * 2.0**53
        return [np.float32(values) for values in errors], np.float32(halves)
