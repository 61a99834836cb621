"""Pasting of small mask probabilities into the image."""

import tensorflow as tf

from mrcnn_tf.ops.implementation import compiled_ops
from mrcnn_tf.ops.shapes import check_rank, dimensions, finite

# Probabilities held at a time outside a graph, 4 bytes each: 100 detections on a photo of 12
# megapixels would be 5 GB otherwise.
_CHUNK_PIXELS = 1 << 25


def paste_masks(
    masks: tf.Tensor,  # [D, S, S]
    boxes: tf.Tensor,  # [D, 4]
    height: int | tf.Tensor,
    width: int | tf.Tensor,
    threshold: float = 0.5,
    whole_pixels: bool = False,
) -> tf.Tensor:
    """Resamples mask probabilities into the boxes that they belong to, and thresholds them.

    The grid of a mask spans its box edge to edge: with S = 28 and a box from x = 0 to 56 px, the
    first column of probabilities is centred at x = 1 px. In between they are interpolated
    bilinearly; around the box they fade to 0 within half a grid cell. A pixel is set if the
    probability at its centre is at least `threshold`. A box that is empty or not finite gives an
    empty mask.

    Args:
        masks: `[D, S, S]` probabilities.
        boxes: `[D, 4]` as x1, y1, x2, y2 in pixels of the image; they may reach outside.
        height: height of the image in pixels.
        width: width of the image in pixels.
        threshold: in 0..1, exclusive of 0.
        whole_pixels: first move each box to whole pixels, as torchvision does; see
            `whole_pixel_boxes`.

    Returns:
        `[D, height, width]` uint8 of 0 and 1.

    Raises:
        ValueError: the threshold or a shape does not fit.

    Source: Detectron2's `paste_masks_in_image`, without its rounding to a region of the image; with
    `whole_pixels`, torchvision's.

    Example:

    ```python
    import tensorflow as tf
    from mrcnn_tf.ops import paste_masks

    masks = tf.ones([1, 28, 28])
    paste_masks(masks, tf.constant([[10.0, 10.0, 30.0, 20.0]]), 40, 60)  # [1, 40, 60]
    ```
    """
    masks = tf.cast(masks, tf.float32)
    boxes = tf.cast(boxes, tf.float32)
    check_rank("masks", masks, 3)
    check_rank("boxes", boxes, 2, last=4)
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold must be above 0 and at most 1, got {threshold}")
    if whole_pixels:
        boxes = whole_pixel_boxes(boxes, dimensions(masks)[2])
    ops = compiled_ops()
    if ops is not None:
        return ops.mrcnn_paste_masks(
            masks=masks,
            boxes=boxes,
            height=tf.cast(height, tf.int32),
            width=tf.cast(width, tf.int32),
            threshold=threshold,
        )
    if not tf.executing_eagerly():
        return _paste(masks, boxes, height, width, threshold)
    step = max(1, _CHUNK_PIXELS // max(1, int(height) * int(width)))
    chunks = [
        _paste(masks[i : i + step], boxes[i : i + step], height, width, threshold)
        for i in range(0, max(1, masks.shape[0]), step)
    ]
    return tf.concat(chunks, axis=0)


def whole_pixel_boxes(boxes: tf.Tensor, side: int | tf.Tensor) -> tf.Tensor:
    """The boxes into which torchvision pastes masks of `side` x `side` cells.

    It surrounds a mask by a cell of zeros, enlarges the box to match, and cuts the corners of that
    off to whole pixels, of which the last belongs to the box. A small object can lose or gain a
    pixel at each edge.

    Args:
        boxes: `[D, 4]` as x1, y1, x2, y2 in pixels. One that is not finite, or that lies farther
            than 2²⁴ px away, stays as it is.
        side: cells along each side of a mask.

    Returns:
        `[D, 4]` float32, the part of each moved box that the mask itself covers.

    Source: `expand_boxes` and `paste_mask_in_image` of torchvision's `roi_heads.py`.

    Example:

    >>> whole_pixel_boxes(tf.constant([[10.2, 10.2, 38.2, 38.2]]), 28).numpy().round(3).tolist()
    [[10.033, 10.033, 38.967, 38.967]]
    """
    boxes = tf.cast(boxes, tf.float32)
    side = tf.cast(side, tf.float32)
    half = (boxes[:, 2:] - boxes[:, :2]) * 0.5 * ((side + 2.0) / side)
    centre = (boxes[:, 2:] + boxes[:, :2]) * 0.5
    low, high = centre - half, centre + half
    usable = tf.reduce_all(tf.abs(tf.concat([low, high], 1)) < 2.0**24, axis=1, keepdims=True)
    low = tf.cast(tf.cast(tf.where(usable, low, 0.0), tf.int32), tf.float32)
    high = tf.cast(tf.cast(tf.where(usable, high, 0.0), tf.int32), tf.float32)
    extent = tf.maximum(high - low + 1.0, 1.0)
    cell = extent / (side + 2.0)
    return tf.where(usable, tf.concat([low + cell, low + extent - cell], axis=1), boxes)


def _paste(masks, boxes, height, width, threshold):
    _, rows, columns = dimensions(masks)
    usable = tf.reduce_all(finite(boxes), axis=-1)
    boxes = tf.where(usable[:, None], boxes, 0.0)
    down = _weights(boxes[:, 1], boxes[:, 3], height, rows)  # [D, H, S]
    across = _weights(boxes[:, 0], boxes[:, 2], width, columns)  # [D, W, S]
    pasted = tf.matmul(tf.matmul(down, masks), across, transpose_b=True)
    return tf.cast(pasted >= threshold, tf.uint8)


def _weights(low, high, size, cells):
    """How much each cell of a mask counts at each pixel along one axis, [D, size, cells]."""
    pixels = tf.range(tf.cast(size, tf.float32)) + 0.5
    extent = (high - low)[:, None]
    inside = (extent > 0.0) & finite(extent)
    along = (pixels - low[:, None]) / tf.where(inside, extent, 1.0) * 2.0 - 1.0
    cells = tf.cast(cells, tf.float32)
    at = ((along + 1.0) * cells - 1.0) / 2.0  # [D, size]
    weights = tf.maximum(1.0 - tf.abs(at[..., None] - tf.range(cells)), 0.0)
    return tf.where(inside[..., None], weights, 0.0)
