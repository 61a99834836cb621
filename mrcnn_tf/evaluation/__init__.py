"""COCO average precision of boxes, masks and keypoints.

`coco_metrics` and `coco_results` work on plain dictionaries, `evaluate` on a model and a dataset,
`CocoEvaluation` within `fit`.
"""

from mrcnn_tf.evaluation.coco_evaluation import CocoEvaluation
from mrcnn_tf.evaluation.coco_metrics import coco_metrics
from mrcnn_tf.evaluation.coco_results import coco_results
from mrcnn_tf.evaluation.evaluate import evaluate

__all__ = ["CocoEvaluation", "coco_metrics", "coco_results", "evaluate"]
