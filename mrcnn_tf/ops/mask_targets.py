"""What the mask head should predict inside a RoI, read from bit-packed native crops."""

import tensorflow as tf

from mrcnn_tf.ops.implementation import compiled_ops
from mrcnn_tf.ops.shapes import check_rank, finite

# A bin that is half covered is set, whichever way the sum of its samples was rounded.
_HALF = 0.5 - 1e-5
# The longest RoI in pixels of a crop that adaptive sampling is still adapted to.
_LONGEST_ROI = 16384.0


def mask_targets(
    targets: dict[str, tf.Tensor],
    rois: tf.Tensor,
    matches: tf.Tensor,
    size: int,
    image_sizes: tf.Tensor | None = None,
    sampling_ratio: int = 2,
    binary: bool = False,
    aligned: bool = True,
) -> tf.Tensor:
    """Pool each RoI's part of its object's mask into a `size` x `size` grid.

    The mask is sampled where it was annotated, at native resolution: each bin is the mean of
    `sampling_ratio`² bilinear samples, as RoIAlign on the full mask would give, without the full
    mask. torchvision learns such soft targets, with `sampling_ratio=0, aligned=False`; Detectron2
    thresholds them at 0.5 (`binary=True`), with `sampling_ratio=0`.

    Args:
        targets: `masks [B, L]` uint8, bit-packed crops one after the other, each from a byte
            boundary; `mask_shapes [B, M, 2]` crop height and width; `mask_boxes [B, M, 4]`
            region of the image that the crop covers, pixels.
        rois: `[B, P, 4]`, pixels. One that is not finite gives zeros.
        matches: `[B, P]` int32, the object of each RoI.
        size: side of the target in bins.
        image_sizes: `[B, 2]`, height and width of the images. A mask that reaches the border of
            its image goes on beyond it, as RoIAlign repeats the last row; elsewhere, and
            everywhere if not given, it is surrounded by zeros.
        sampling_ratio: samples per bin and axis. 0 takes as many as there are pixels of the crop
            in a bin, rounded up; in plain TensorFlow that is slow.
        binary: 1 where at least half of a bin is covered, else 0.
        aligned: whether the centre of pixel 0 lies half a pixel from the edge. Otherwise it lies on
            the edge, and a RoI measures at least one pixel.

    Returns:
        `[B, P, size, size]` float32 in 0..1.

    Raises:
        ValueError: an argument does not fit the others.
        tf.errors.InvalidArgumentError: a match or a shape points beyond the masks.

    Source: torchvision's `project_masks_on_boxes`, Detectron2's `BitMasks.crop_and_resize`.

    Example:

    ```python
    import numpy as np
    import tensorflow as tf
    from mrcnn_tf.ops import mask_targets

    targets = {
        "masks": np.packbits(np.ones([20, 30], np.uint8))[None],
        "mask_shapes": np.array([[[20, 30]]], np.int32),
        "mask_boxes": np.array([[[10, 10, 40, 30]]], np.float32),
    }
    rois = tf.constant([[[5.0, 5.0, 40.0, 30.0]]])
    mask_targets(targets, rois, tf.constant([[0]]), 28).shape  # [1, 1, 28, 28]
    ```
    """
    masks = tf.convert_to_tensor(targets["masks"])
    shapes = tf.cast(targets["mask_shapes"], tf.int32)
    regions = tf.stop_gradient(tf.cast(targets["mask_boxes"], tf.float32))
    rois = tf.stop_gradient(tf.cast(rois, tf.float32))
    matches = tf.cast(matches, tf.int32)
    if masks.dtype != tf.uint8:
        raise ValueError(f"masks must be uint8, bit-packed, got {masks.dtype.name}")
    check_rank("masks", masks, 2)
    check_rank("mask_shapes", shapes, 3, last=2)
    check_rank("mask_boxes", regions, 3, last=4)
    check_rank("rois", rois, 3, last=4)
    check_rank("matches", matches, 2)
    if size < 1:
        raise ValueError(f"size must be positive, got {size}")
    if sampling_ratio < 0:
        raise ValueError(f"sampling_ratio must be 0 or more, got {sampling_ratio}")
    ops = compiled_ops()
    if ops is None:
        pooled = _plain(
            masks, shapes, regions, rois, matches, size, image_sizes, sampling_ratio, aligned
        )
        return tf.cast(pooled >= _HALF, tf.float32) if binary else pooled
    no_sizes = tf.zeros([tf.shape(masks)[0], 2], tf.int32)
    return ops.mrcnn_mask_targets(
        masks=masks,
        mask_shapes=shapes,
        mask_boxes=regions,
        rois=rois,
        matches=matches,
        image_sizes=no_sizes if image_sizes is None else tf.cast(image_sizes, tf.int32),
        size=size,
        sampling_ratio=sampling_ratio,
        aligned=aligned,
        at_borders=image_sizes is not None,
        binary=binary,
    )


tf.no_gradient("MrcnnMaskTargets")


def _plain(masks, shapes, regions, rois, matches, size, image_sizes, sampling_ratio, aligned):
    """The twin: gathers of one tap of one sampling point of all bins at a time."""
    num_bytes = (shapes[..., 0] * shapes[..., 1] + 7) // 8
    starts = tf.cumsum(num_bytes, axis=1, exclusive=True)
    starts = tf.gather(starts, matches, batch_dims=1)  # [B, P]
    shapes = tf.gather(shapes, matches, batch_dims=1)  # [B, P, 2]
    regions = tf.gather(regions, matches, batch_dims=1)  # [B, P, 4]
    usable = tf.reduce_all(finite(rois) & finite(regions), axis=-1, keepdims=True)
    usable &= tf.reduce_all(shapes > 0, axis=-1, keepdims=True)
    rois, regions = tf.where(usable, rois, 0.0), tf.where(usable, regions, 0.0)

    def taps(axis: int):
        limit = None if image_sizes is None else tf.cast(image_sizes[:, 1 - axis, None], tf.float32)
        return _taps(
            (rois[..., axis], rois[..., axis + 2]),
            (regions[..., axis], regions[..., axis + 2]),
            shapes[..., 1 - axis],
            limit,
            size,
            sampling_ratio,
            aligned,
        )

    (rows, row_weights), (columns, column_weights) = taps(1), taps(0)  # [T, B, P, size]
    row_weights = tf.where(usable, row_weights, 0.0)
    packed = tf.pad(masks, [[0, 0], [0, 1]])  # so that an object without mask can be read
    num_rows, num_columns = tf.shape(rows)[0], tf.shape(columns)[0]

    def add_tap(i, pooled):
        row, column = i // num_columns, i % num_columns
        bit = rows[row][..., :, None] * shapes[..., 1, None, None] + columns[column][..., None, :]
        values = tf.gather(packed, starts[..., None, None] + bit // 8, batch_dims=1)
        values = tf.bitwise.right_shift(values, tf.cast(7 - bit % 8, tf.uint8)) & 1
        weights = row_weights[row][..., :, None] * column_weights[column][..., None, :]
        return i + 1, pooled + tf.cast(values, tf.float32) * weights

    batch, num_rois = tf.shape(rois)[0], tf.shape(rois)[1]
    pooled = tf.zeros([batch, num_rois, size, size])
    if sampling_ratio:
        for i in range(4 * sampling_ratio**2):
            _, pooled = add_tap(i, pooled)
    else:
        num_taps = num_rows * num_columns
        _, pooled = tf.while_loop(lambda i, _: i < num_taps, add_tap, [tf.constant(0), pooled])
    return pooled


def _taps(roi, region, extent, limit, bins, sampling_ratio, aligned):
    """The pixels that every bin reads along one axis, and with what weight: 2 of [T, B, P, bins].

    `roi` and `region` are lower and upper edges, `extent` the pixels of the crop, [B, P] each;
    `limit` is the edge of the image, [B, 1] or None.
    """
    covered = region[1] - region[0]
    scale = tf.math.divide_no_nan(tf.cast(extent, tf.float32), covered)
    start = (roi[0] - region[0]) * scale - (0.5 if aligned else 0.0)
    length = (roi[1] - roi[0]) * scale
    if not aligned:
        length = tf.maximum(length, 1.0)
    bin_size = length / bins
    if sampling_ratio:
        samples, most = tf.fill(tf.shape(start), float(sampling_ratio)), sampling_ratio
    else:
        samples = tf.maximum(tf.math.ceil(tf.minimum(length, _LONGEST_ROI) / bins), 1.0)
        most = tf.cast(tf.reduce_max(tf.pad(samples, [[0, 1], [0, 1]])), tf.int32)
    sample = tf.cast(tf.range(most)[:, None, None, None], tf.float32)  # [S, 1, 1, 1]
    samples, bin_size = samples[..., None], bin_size[..., None]
    bin_start = start[..., None] + tf.range(bins, dtype=tf.float32) * bin_size
    at = bin_start + (sample + 0.5) * bin_size / samples  # [S, B, P, bins]

    edge = tf.cast(extent, tf.float32)[..., None]
    if limit is not None:
        at = tf.where((region[0] <= 0)[..., None], tf.maximum(at, 0.0), at)
        at = tf.where((region[1] >= limit)[..., None], tf.minimum(at, edge - 1.0), at)
    inside = (at > -1.0) & (at < edge) & (sample < samples)
    at = tf.where(inside, at, 0.0)
    below = tf.floor(at)
    weight = tf.where(inside, 1.0 / samples, 0.0)
    cells = tf.concat([below, below + 1.0], axis=0)
    weights = tf.concat([weight * (1.0 - (at - below)), weight * (at - below)], axis=0)
    weights = tf.where((cells >= 0.0) & (cells < edge), weights, 0.0)
    cells = tf.clip_by_value(cells, 0.0, tf.maximum(edge - 1.0, 0.0))
    return tf.cast(cells, tf.int32), weights
