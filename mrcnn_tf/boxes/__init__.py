"""Formulas on boxes. Boxes are `x1, y1, x2, y2` in continuous pixels, float32."""

from mrcnn_tf.boxes.anchors import cell_anchors, make_anchors
from mrcnn_tf.boxes.clip import clip_boxes
from mrcnn_tf.boxes.coding import MAX_LOG_SCALE, decode_boxes, encode_boxes
from mrcnn_tf.boxes.inclusive import from_inclusive, rescale_inclusive_boxes, to_inclusive
from mrcnn_tf.boxes.overlap import (
    box_areas,
    pairwise_coverage,
    pairwise_intersection,
    pairwise_iou,
)
from mrcnn_tf.boxes.rescale import rescale_boxes, rescale_points

__all__ = [
    "MAX_LOG_SCALE",
    "box_areas",
    "cell_anchors",
    "clip_boxes",
    "decode_boxes",
    "encode_boxes",
    "from_inclusive",
    "make_anchors",
    "pairwise_coverage",
    "pairwise_intersection",
    "pairwise_iou",
    "rescale_boxes",
    "rescale_inclusive_boxes",
    "rescale_points",
    "to_inclusive",
]
