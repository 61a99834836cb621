"""Mask probabilities straight to COCO's run lengths."""

import numpy as np
from pycocotools import mask as mask_utils

from mrcnn_tf.ops.implementation import compiled_kernels, implementation
from mrcnn_tf.ops.paste_masks import paste_masks, whole_pixel_boxes


def masks_to_rle(
    masks: np.ndarray,  # [D, S, S]
    boxes: np.ndarray,  # [D, 4]
    height: int,
    width: int,
    threshold: float = 0.5,
    whole_pixels: bool = False,
) -> list[dict]:
    """Run lengths of masks at the size of the image, as `paste_masks` would set their pixels.

    The compiled version holds neither an image nor a region of one: it goes down the columns that
    a box covers and writes where they change. The plain version pastes one mask at a time.

    Args:
        masks: `[D, S, S]` probabilities.
        boxes: `[D, 4]` as x1, y1, x2, y2 in pixels of the image; they may reach outside.
        height: height of the image in pixels.
        width: width of the image in pixels.
        threshold: a pixel is set if its probability is at least this; in 0..1, exclusive of 0.
        whole_pixels: first move each box to whole pixels, as torchvision does.

    Returns:
        A dict `{"size": [height, width], "counts": str}` for each mask, COCO's compressed run
        lengths, as pycocotools reads them.

    Raises:
        ValueError: the threshold or a shape does not fit.

    Source: Detectron2's `paste_masks_in_image`, or torchvision's with `whole_pixels`, then
    `pycocotools.mask.encode`.

    Example:

    ```python
    import numpy as np
    from mrcnn_tf.ops import masks_to_rle

    masks_to_rle(np.ones([1, 28, 28]), np.array([[10.0, 10.0, 30.0, 20.0]]), 40, 60)
    ```
    """
    masks = np.ascontiguousarray(masks, np.float32)
    boxes = np.ascontiguousarray(boxes, np.float32)
    height, width = int(height), int(width)
    if masks.ndim != 3:
        raise ValueError(f"masks must have 3 dimensions, got shape {masks.shape}")
    if boxes.shape != (len(masks), 4):
        raise ValueError(f"boxes must be {(len(masks), 4)} as masks tell, got {boxes.shape}")
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold must be above 0 and at most 1, got {threshold}")
    if whole_pixels:
        boxes = whole_pixel_boxes(boxes, masks.shape[2]).numpy()
    kernels = compiled_kernels()
    if kernels is None:
        counts = _plain(masks, boxes, height, width, threshold)
    else:
        counts = kernels.masks_to_rle(masks, boxes, height, width, threshold)
    return [{"size": [height, width], "counts": text} for text in counts]


def _plain(masks, boxes, height, width, threshold):
    """The twin: one image at a time, encoded by pycocotools."""
    counts = []
    with implementation("plain"):
        for i in range(len(masks)):
            pasted = paste_masks(masks[i : i + 1], boxes[i : i + 1], height, width, threshold)
            encoded = mask_utils.encode(np.asfortranarray(pasted[0].numpy()))
            counts.append(encoded["counts"].decode("ascii"))
    return counts
