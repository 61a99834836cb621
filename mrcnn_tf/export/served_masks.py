"""The forms in which an exported model gives its masks."""

import tensorflow as tf

from mrcnn_tf.export.stack_padded import stack_padded
from mrcnn_tf.ops import paste_masks
from mrcnn_tf.ops.paste_masks import whole_pixel_boxes

MASK_FORMS = ("boxes", "image", "rle")


def check_mask_form(form: str, has_masks: bool) -> None:
    """Refuses a form that is not known, or that the model has no masks for.

    Raises:
        ValueError: it names the argument.
    """
    if form not in MASK_FORMS:
        raise ValueError(f"masks must be one of {', '.join(MASK_FORMS)}; got {form!r}.")
    if form != "boxes" and not has_masks:
        raise ValueError(
            f"masks={form!r} is for models with masks, and this one was built with mask=False."
        )


def with_masks(
    detections: dict[str, tf.Tensor],
    image_sizes: tf.Tensor,
    form: str,
    whole_pixels: bool = False,
    threshold: float = 0.5,
) -> dict[str, tf.Tensor]:
    """Detections with their masks in another form.

    Args:
        detections: what a model gives, with boxes in pixels of the images.
        image_sizes: `[B, 2]` int32, height and width of the images.
        form: `"boxes"` changes nothing. `"image"` gives `image_masks [B, D, H, W]` uint8 of 0 and 1
            in place of `masks`, H and W being the largest height and width of the batch.
            `"rle"` gives `mask_counts [B, D, R]` int32, of which the first `mask_lengths [B, D]`
            are the mask's run lengths as COCO has them: down the columns, zeros first. Both add
            `image_sizes`.
        whole_pixels: see `paste_masks`.
        threshold: likewise.

    Returns:
        A dict. Pixels are those of `paste_masks`, runs those of pycocotools' `encode`; rows past
        `num_detections` are zeros.
    """
    if form == "boxes":
        return detections
    masks, boxes = detections["masks"], detections["boxes"]
    shape = tf.shape(masks)
    batch, rows = shape[0], shape[1]
    boxes = tf.reshape(boxes, [-1, 4])
    masks = tf.reshape(masks, [-1, *masks.shape[2:]])
    is_kept = tf.reshape(detections["classes"], [-1]) >= 0
    sizes = tf.repeat(image_sizes, rows, axis=0)
    if whole_pixels:
        boxes = whole_pixel_boxes(boxes, masks.shape[2])
    corners = tf.where(is_kept[:, None], _corners(boxes, sizes, masks.shape[2]), 0)
    height, width = tf.unstack(tf.reduce_max(image_sizes, axis=0))
    per_image = detections["masks"].shape[1]

    def region(row):
        """The part of the image that a mask can reach; the rest is empty."""
        corner = corners[row]
        origin = tf.cast(tf.tile(corner[:2], [2]), tf.float32)
        box = boxes[row] - origin
        size = corner[2:] - corner[:2]
        return paste_masks(masks[row][None], box[None], size[1], size[0], threshold)[0]

    def pasted(row):
        x1, y1, x2, y2 = tf.unstack(corners[row])
        return tf.pad(region(row), [[y1, height - y2], [x1, width - x2]])

    def runs(row):
        counts = _runs(region(row), corners[row], sizes[row])
        counts = counts[: tf.where(is_kept[row], tf.size(counts), 0)]
        return counts, tf.size(counts)[None]

    result = {name: value for name, value in detections.items() if name != "masks"}
    result["image_sizes"] = image_sizes
    if form == "image":
        spec = tf.TensorSpec([None, None], tf.uint8)
        image_masks = tf.map_fn(pasted, tf.range(batch * rows), fn_output_signature=spec)
        result["image_masks"] = tf.reshape(image_masks, [-1, per_image, height, width])
    else:
        spec = tf.TensorSpec([None], tf.int32)
        counts, lengths = stack_padded(runs, batch * rows, spec, numbers=1)
        result["mask_counts"] = tf.reshape(counts, [-1, per_image, tf.shape(counts)[1]])
        result["mask_lengths"] = tf.reshape(lengths, [-1, per_image])
    return result


def _corners(boxes, sizes, side: int):
    """Whole pixels `[N, 4]` int32, x1 y1 x2 y2, that pasted masks of `side` cells can reach."""
    # Interpolation against the zeros around a mask reaches half a mask cell beyond the box.
    reach = (boxes[:, 2:] - boxes[:, :2]) / (2 * side)
    limits = tf.cast(sizes[:, ::-1], tf.float32)
    low = tf.floor(tf.clip_by_value(boxes[:, :2] - reach, 0.0, limits))
    high = tf.math.ceil(tf.clip_by_value(boxes[:, 2:] + reach, 0.0, limits))
    return tf.cast(tf.concat([low, tf.maximum(low, high)], axis=1), tf.int32)


def _runs(region, corner, size):
    """COCO's run lengths `[R]` of an image of a size that is empty but for a region."""
    columns = tf.pad(tf.transpose(region), [[0, 0], [1, 1]])
    changes = tf.cast(tf.where(columns[:, 1:] != columns[:, :-1]), tf.int32)  # [E, 2] x and y
    at = (corner[0] + changes[:, 0]) * size[0] + corner[1] + changes[:, 1]
    # A run that ends at the bottom of a column and one that begins at the top of the next are one.
    is_same = at[1:] == at[:-1]
    at = at[~(tf.pad(is_same, [[0, 1]]) | tf.pad(is_same, [[1, 0]]))[: tf.size(at)]]
    ends = tf.concat([[0], at, [size[0] * size[1]]], axis=0)
    counts = ends[1:] - ends[:-1]
    return counts[: tf.size(counts) - tf.cast(counts[-1] == 0, tf.int32)]
