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

    Returns:
        `[D, height, width]` uint8 of 0 and 1.

    Raises:
        ValueError: the threshold or a shape does not fit.

    Source: Detectron2's `paste_masks_in_image`, without its rounding to a region of the image.

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
