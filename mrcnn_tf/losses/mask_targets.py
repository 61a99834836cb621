"""What the mask head should predict inside a RoI, read from bit-packed native crops."""

import tensorflow as tf


def mask_targets(
    targets: dict[str, tf.Tensor],
    rois: tf.Tensor,
    matches: tf.Tensor,
    size: int,
    image_sizes: tf.Tensor | None = None,
    sampling_ratio: int = 2,
    binary: bool = False,
) -> tf.Tensor:
    """Pool each RoI's part of its object's mask into a `size` x `size` grid.

    The mask is sampled where it was annotated, at native resolution: each bin is the mean of
    `sampling_ratio`² bilinear samples, as RoIAlign (`aligned=True`) on the full mask would give.
    torchvision learns these soft targets; Detectron2 thresholds them at 0.5 (`binary=True`).

    Args:
        targets: `masks [B, L]` uint8, bit-packed crops one after the other, each from a byte
            boundary; `mask_shapes [B, M, 2]` crop height and width; `mask_boxes [B, M, 4]`
            region of the image that the crop covers, pixels.
        rois: `[B, P, 4]`, pixels.
        matches: `[B, P]` int32, the object of each RoI.
        size: side of the target in bins.
        image_sizes: `[B, 2]`, height and width of the images. A mask that reaches the border of
            its image goes on beyond it, as RoIAlign repeats the last row; elsewhere, and
            everywhere if not given, it is surrounded by zeros.
        sampling_ratio: samples per bin and axis.
        binary: threshold at 0.5.

    Returns:
        `[B, P, size, size]` float32 in 0..1.
    """
    masks = targets["masks"]
    all_shapes = targets["mask_shapes"]
    num_bytes = (all_shapes[..., 0] * all_shapes[..., 1] + 7) // 8
    offsets = tf.gather(
        tf.cumsum(num_bytes, axis=1, exclusive=True), matches, batch_dims=1
    )  # [B, P]
    shapes = tf.gather(all_shapes, matches, batch_dims=1)  # [B, P, 2]
    regions = tf.gather(targets["mask_boxes"], matches, batch_dims=1)  # [B, P, 4]
    heights, widths = shapes[..., 0], shapes[..., 1]

    points = size * sampling_ratio
    steps = (tf.range(points, dtype=tf.float32) + 0.5) / points

    def coordinates(axis: int, extent: tf.Tensor) -> tf.Tensor:
        start, end = rois[..., axis, None], rois[..., axis + 2, None]
        low, high = regions[..., axis, None], regions[..., axis + 2, None]
        position = start + (end - start) * steps  # [B, P, points], pixels
        scale = tf.math.divide_no_nan(tf.cast(extent, tf.float32)[..., None], high - low)
        index = (position - low) * scale - 0.5  # crop pixels, 0 is the middle of the first one
        if image_sizes is None:
            return index
        limit = tf.cast(image_sizes[:, 1 - axis], tf.float32)[:, None, None]
        last = tf.cast(extent, tf.float32)[..., None] - 1.0
        index = tf.where(low <= 0, tf.maximum(index, 0.0), index)
        return tf.where(high >= limit, tf.minimum(index, last), index)

    y, x = coordinates(1, heights), coordinates(0, widths)
    y_low, x_low = tf.floor(y), tf.floor(x)
    packed = tf.pad(masks, [[0, 0], [0, 1]])  # so that an object without mask can be read

    def tap(dy: int, dx: int) -> tf.Tensor:
        row = tf.cast(y_low, tf.int32) + dy
        column = tf.cast(x_low, tf.int32) + dx
        y_weight = tf.maximum(1.0 - tf.abs(y - tf.cast(row, tf.float32)), 0.0)
        x_weight = tf.maximum(1.0 - tf.abs(x - tf.cast(column, tf.float32)), 0.0)
        y_weight = tf.where((row >= 0) & (row < heights[..., None]), y_weight, 0.0)
        x_weight = tf.where((column >= 0) & (column < widths[..., None]), x_weight, 0.0)
        row = tf.clip_by_value(row, 0, tf.maximum(heights[..., None] - 1, 0))
        column = tf.clip_by_value(column, 0, tf.maximum(widths[..., None] - 1, 0))
        bit = row[..., :, None] * widths[..., None, None] + column[..., None, :]
        byte = offsets[..., None, None] + bit // 8  # [B, P, points, points]
        values = tf.gather(packed, byte, batch_dims=1)
        values = tf.bitwise.right_shift(values, tf.cast(7 - bit % 8, tf.uint8)) & 1
        weights = y_weight[..., :, None] * x_weight[..., None, :]
        return tf.cast(values, tf.float32) * weights

    samples = tap(0, 0) + tap(0, 1) + tap(1, 0) + tap(1, 1)
    samples = tf.reshape(
        samples,
        [tf.shape(rois)[0], tf.shape(rois)[1], size, sampling_ratio, size, sampling_ratio],
    )
    pooled = tf.reduce_mean(samples, axis=[3, 5])
    pooled = tf.cast(pooled >= 0.5, tf.float32) if binary else pooled
    return tf.stop_gradient(pooled)
