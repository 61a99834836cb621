"""RoIAlign over a feature pyramid: every box is pooled from the level that suits its size."""

import math
from collections.abc import Sequence

import tensorflow as tf

from mrcnn_tf.ops import loader
from mrcnn_tf.ops.implementation import compiled_ops
from mrcnn_tf.ops.shapes import check_rank, dimensions, finite

DTYPES = (tf.float32, tf.float16, tf.bfloat16)


def roi_align(
    pyramid: Sequence[tf.Tensor],  # of [B, H_l, W_l, C]
    boxes: tf.Tensor,  # [B, N, 4]
    output_size: int | tuple[int, int],
    strides: Sequence[int],
    sampling_ratio: int = 2,
    aligned: bool = True,
    canonical_size: float = 224,
    canonical_level: int = 4,
) -> tf.Tensor:
    """Pools a fixed grid of features from every box, by bilinear interpolation.

    A box of area `a` is pooled from level `floor(canonical_level + log2(sqrt(a) /
    canonical_size))`, clamped to the levels given, where the level of a map is the base-2
    logarithm of its stride: a box of 224 x 224 px comes from the map of stride 16, one of
    112 x 112 px from stride 8. A single map serves all boxes.

    With `aligned=True` pixel 0 of a map has its centre at 0.5: the box edge x = 8 px lies on a map
    of stride 4 at index 8 / 4 - 0.5 = 1.5. With `aligned=False` it lies at index 2, and a box
    measures at least one cell. Sampling points more than one cell outside the map count as 0.

    Gradients flow to the pyramid only. A box with a coordinate that is not finite pools to 0.

    Args:
        pyramid: feature maps `[B, H_l, W_l, C]`, finest first: float32, float16 or bfloat16. Sums
            are float32, forward and backward, and rounded once.
        boxes: `[B, N, 4]` as x1, y1, x2, y2 in pixels of the image.
        output_size: height and width of the grid; one number for both.
        strides: pixels between neighbouring cells, one for each map; each is twice the one before.
        sampling_ratio: sampling points along each side of a grid cell. 0 takes as many as there
            are feature cells in it, rounded up; of a box larger than twice its map, as many as if
            it were that large. In plain TensorFlow 0 is slow.
        aligned: whether to shift by half a cell.
        canonical_size: side in pixels of a box that is pooled from `canonical_level`.
        canonical_level: see `canonical_size`.

    Returns:
        `[B, N, height, width, C]` in the dtype of the pyramid.

    Raises:
        ValueError: an argument does not fit the others.

    Source: He et al., Mask R-CNN (2017), section 3; Lin et al., Feature Pyramid Networks (2017),
    equation 1. Equal to Detectron2's ROIPooler of type ROIAlignV2 (`aligned=True`) and
    torchvision's MultiScaleRoIAlign (`aligned=False`).

    Example:

    ```python
    import tensorflow as tf
    from mrcnn_tf.ops import roi_align

    pyramid = [tf.random.normal([1, 64, 64, 256]), tf.random.normal([1, 32, 32, 256])]
    boxes = tf.constant([[[10.0, 20.0, 110.0, 90.0], [0.0, 0.0, 250.0, 250.0]]])
    roi_align(pyramid, boxes, 7, strides=[4, 8]).shape  # [1, 2, 7, 7, 256]
    ```
    """
    pyramid = [tf.convert_to_tensor(features) for features in pyramid]
    boxes = tf.stop_gradient(tf.cast(boxes, tf.float32))
    if isinstance(output_size, int):
        output_size = (output_size, output_size)
    _check(pyramid, boxes, output_size, strides, sampling_ratio)
    first_level = int(math.log2(strides[0])) if len(strides) > 1 else canonical_level
    # A box belongs to level k or above if its area is at least (canonical_size 2^(k - k0))^2:
    # equation 1 without its logarithm, whose last bit differs between platforms.
    level_areas = [
        float(canonical_size * 2.0 ** (first_level + i - canonical_level)) ** 2
        for i in range(1, len(strides))
    ]
    ops = compiled_ops()
    if ops is None:
        return _plain(pyramid, boxes, output_size, strides, sampling_ratio, aligned, level_areas)
    return ops.mrcnn_roi_align(
        pyramid=pyramid,
        boxes=boxes,
        output_height=output_size[0],
        output_width=output_size[1],
        strides=list(strides),
        level_areas=level_areas,
        sampling_ratio=sampling_ratio,
        aligned=aligned,
    )


@tf.RegisterGradient("MrcnnRoiAlign")
def _gradient(op: tf.Operation, gradient: tf.Tensor) -> list:
    names = ("output_height", "output_width", "strides", "level_areas", "sampling_ratio", "aligned")
    *pyramid, boxes = op.inputs
    gradients = loader.load(required=True).mrcnn_roi_align_grad(
        gradient=gradient,
        boxes=boxes,
        pyramid_shapes=[tf.shape(features) for features in pyramid],
        **{name: op.get_attr(name) for name in names},
    )
    return [*gradients, None]


def _check(pyramid, boxes, output_size, strides, sampling_ratio):
    if not pyramid or len(pyramid) != len(strides):
        raise ValueError(
            f"roi_align needs one stride for each map of the pyramid, got {len(pyramid)} maps "
            f"and strides {list(strides)}"
        )
    if any(fine * 2 != coarse for fine, coarse in zip(strides, strides[1:], strict=False)):
        raise ValueError(f"strides must double from map to map, got {list(strides)}")
    if strides[0] <= 0 or (len(strides) > 1 and not math.log2(strides[0]).is_integer()):
        raise ValueError(f"strides must be powers of two, got {list(strides)}")
    if min(output_size) < 1:
        raise ValueError(f"output_size must be positive, got {output_size}")
    if sampling_ratio < 0:
        raise ValueError(f"sampling_ratio must be 0 or more, got {sampling_ratio}")
    for i, features in enumerate(pyramid):
        check_rank(f"pyramid[{i}]", features, 4)
        if features.dtype not in DTYPES or features.dtype != pyramid[0].dtype:
            raise ValueError(
                f"pyramid[{i}] must be float32, float16 or bfloat16 as all its maps are, "
                f"got {features.dtype.name}; pyramid[0] is {pyramid[0].dtype.name}"
            )
    check_rank("boxes", boxes, 3, last=4)


def _plain(pyramid, boxes, output_size, strides, sampling_ratio, aligned, level_areas):
    """The twin: flat gathers of the bilinear taps over all levels, laid end to end."""
    batch, num_boxes, _ = dimensions(boxes)
    channels = pyramid[0].shape[-1] or tf.shape(pyramid[0])[-1]
    usable = tf.reduce_all(finite(boxes), axis=-1)  # [B, N]
    boxes = tf.where(usable[..., None], boxes, 0.0)

    sides = tf.maximum(boxes[..., 2:] - boxes[..., :2], 0.0)
    areas = sides[..., 0] * sides[..., 1]
    level = tf.zeros_like(areas, tf.int32)
    for area in level_areas:
        level += tf.cast(areas >= area, tf.int32)

    heights = tf.stack([dimensions(features)[1] for features in pyramid])  # [L]
    widths = tf.stack([dimensions(features)[2] for features in pyramid])
    sizes = heights * widths * batch
    starts = tf.cumsum(sizes, exclusive=True)
    height, width = tf.gather(heights, level), tf.gather(widths, level)  # [B, N]
    image = tf.range(batch)[:, None]
    start = tf.gather(starts, level) + image * height * width

    scale = tf.gather(tf.constant([1.0 / stride for stride in strides], tf.float32), level)
    x1, y1, x2, y2 = (coordinate * scale for coordinate in tf.unstack(boxes, axis=-1))
    rows, row_weights = _taps(y1, y2, height, output_size[0], sampling_ratio, aligned)
    columns, column_weights = _taps(x1, x2, width, output_size[1], sampling_ratio, aligned)
    row_weights = tf.where(usable[..., None], row_weights, 0.0)  # [T, B, N, h]
    rows = start[..., None] + rows * width[..., None]

    # Widened before the gather: its gradient then sums in float32 as well, and is rounded once.
    flat = tf.concat(
        [tf.reshape(tf.cast(features, tf.float32), [-1, channels]) for features in pyramid], axis=0
    )
    vertical = rows[..., :, None], row_weights[..., :, None]  # [T, B, N, h, 1]
    horizontal = columns[..., None, :], column_weights[..., None, :]  # [T, B, N, 1, w]

    # One tap of one sampling point at a time: all of them together would hold sixteen times the
    # result in memory.
    def add_tap(pooled, row, row_weight, column, column_weight):
        tap = tf.gather(flat, tf.reshape(row + column, [-1]))
        return pooled + tap * tf.reshape(row_weight * column_weight, [-1, 1])

    pooled = tf.zeros([batch * num_boxes * output_size[0] * output_size[1], channels])
    if sampling_ratio:
        for vertical_tap in zip(*map(tf.unstack, vertical), strict=True):
            for horizontal_tap in zip(*map(tf.unstack, horizontal), strict=True):
                pooled = add_tap(pooled, *vertical_tap, *horizontal_tap)
    else:
        num_columns = tf.shape(columns)[0]

        def add_next(i, pooled):
            row, column = i // num_columns, i % num_columns
            taps = [t[row] for t in vertical] + [t[column] for t in horizontal]
            return i + 1, add_tap(pooled, *taps)

        num_taps = tf.shape(rows)[0] * num_columns
        _, pooled = tf.while_loop(lambda i, _: i < num_taps, add_next, [tf.constant(0), pooled])
    pooled = tf.reshape(pooled, [batch, num_boxes, *output_size, channels])
    return tf.cast(pooled, pyramid[0].dtype)


def _taps(low, high, size, bins, sampling_ratio, aligned):
    """The cells that every bin reads along one axis, and with what weight: 2 of [T, B, N, bins].

    `low` and `high` are the edges of the boxes in cells, `size` the cells of their maps, [B, N].
    """
    if aligned:
        low, high = low - 0.5, high - 0.5
    extent = high - low
    if not aligned:
        extent = tf.maximum(extent, 1.0)
    bin_size = extent / bins
    limit = tf.cast(size, tf.float32)
    if sampling_ratio:
        samples = tf.fill(tf.shape(low), float(sampling_ratio))
        most = sampling_ratio
    else:
        # Bounded, so that one absurdly large box costs no more than twice its map.
        samples = tf.maximum(tf.math.ceil(tf.minimum(extent, 2.0 * limit) / bins), 0.0)
        most = tf.cast(tf.reduce_max(tf.pad(samples, [[0, 1], [0, 1]])), tf.int32)
    sample = tf.range(most)[:, None, None, None]  # [S, 1, 1, 1]
    sample = tf.cast(sample, tf.float32)
    samples, limit = samples[..., None], limit[..., None]
    start = low[..., None] + tf.range(bins, dtype=tf.float32) * bin_size[..., None]
    at = start + (sample + 0.5) * bin_size[..., None] / tf.maximum(samples, 1.0)  # [S, B, N, bins]

    inside = (at >= -1.0) & (at <= limit) & (sample < samples)
    at = tf.clip_by_value(tf.where(inside, at, 0.0), 0.0, limit - 1.0)
    below = tf.floor(at)
    above = tf.minimum(below + 1.0, limit - 1.0)
    weight = tf.where(inside, 1.0 / tf.maximum(samples, 1.0), 0.0)
    taps = tf.concat([below, above], axis=0)
    weights = tf.concat([weight * (1.0 - (at - below)), weight * (at - below)], axis=0)
    return tf.cast(taps, tf.int32), weights
