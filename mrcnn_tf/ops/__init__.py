"""The operations behind the model: compiled where they can be, and always in plain TensorFlow."""

from mrcnn_tf.ops.implementation import implementation
from mrcnn_tf.ops.loader import OpsUnavailableError, load, status
from mrcnn_tf.ops.mask_targets import mask_targets
from mrcnn_tf.ops.masks_to_rle import masks_to_rle
from mrcnn_tf.ops.match_boxes import BACKGROUND, IGNORE, match_boxes
from mrcnn_tf.ops.nms import nms
from mrcnn_tf.ops.paste_masks import paste_masks
from mrcnn_tf.ops.proposals import proposals
from mrcnn_tf.ops.rasterize_polygons import rasterize_polygons
from mrcnn_tf.ops.resize_image import RESIZE_METHODS, resize_image, resized_shape
from mrcnn_tf.ops.roi_align import roi_align
from mrcnn_tf.ops.soft_nms import SOFT_NMS_METHODS, soft_nms

__all__ = [
    "BACKGROUND",
    "IGNORE",
    "RESIZE_METHODS",
    "SOFT_NMS_METHODS",
    "OpsUnavailableError",
    "implementation",
    "load",
    "mask_targets",
    "masks_to_rle",
    "match_boxes",
    "nms",
    "paste_masks",
    "proposals",
    "rasterize_polygons",
    "resize_image",
    "resized_shape",
    "roi_align",
    "soft_nms",
    "status",
]
