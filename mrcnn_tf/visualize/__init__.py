"""Pictures of predictions, annotations and training."""

from mrcnn_tf.visualize.contact_sheet import contact_sheet
from mrcnn_tf.visualize.draw_batch import draw_batch
from mrcnn_tf.visualize.draw_beside_ground_truth import draw_beside_ground_truth
from mrcnn_tf.visualize.draw_ground_truth import draw_ground_truth
from mrcnn_tf.visualize.draw_instances import draw_instances
from mrcnn_tf.visualize.instance_map import instance_map
from mrcnn_tf.visualize.precision_curves import precision_curves
from mrcnn_tf.visualize.training_curves import training_curves

__all__ = [
    "contact_sheet",
    "draw_batch",
    "draw_beside_ground_truth",
    "draw_ground_truth",
    "draw_instances",
    "instance_map",
    "precision_curves",
    "training_curves",
]
