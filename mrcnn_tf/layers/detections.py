"""From box head outputs to detections."""

import keras
import tensorflow as tf

from mrcnn_tf.boxes import clip_boxes, decode_boxes
from mrcnn_tf.ops import nms, soft_nms
from mrcnn_tf.ops.shapes import gather_rows

NMS_METHODS = ("hard", "soft_linear", "soft_gaussian")


@keras.saving.register_keras_serializable(package="mrcnn_tf")
class Detections(keras.layers.Layer):
    """Decode every class's box, drop unlikely ones and doubles within a class, keep the best.

    The soft methods lower the score of a double instead of dropping it, and the score they return
    is the lowered one; see `mrcnn_tf.ops.soft_nms`.

    Args:
        box_weights: factors of the deltas, see `decode_boxes`.
        score_threshold: lowest probability of a detection.
        nms_threshold: IoU above which the less likely of two boxes of one class is dropped or, with
            `"soft_linear"`, loses score; `"soft_gaussian"` has no threshold.
        max_detections: rows of the output.
        nms_method: `"hard"`, `"soft_linear"` or `"soft_gaussian"`.
        nms_sigma: of `"soft_gaussian"`: scores are multiplied by exp(-IoU^2 / nms_sigma).
        min_size: smallest side of a detection in pixels; one without area is never kept.

    Call arguments:
        logits: `[B, N, K + 1]` float32, background last.
        deltas: `[B, N, K, 4]`, or `[B, N, 1, 4]`, float32.
        proposals: `[B, N, 4]`, pixels.
        count: `[B]` int32, proposals that are real.
        image_sizes: `[B, 2]`, height and width.

    Returns:
        dict of `boxes [B, D, 4]` (pixels, clipped), `classes [B, D]` int32, `scores [B, D]` and
        `num_detections [B]` int32; padded rows hold class -1 and zeros.

    Raises:
        ValueError: another `nms_method`.

    Reference: Fast R-CNN, section 3.2; torchvision's `postprocess_detections`; Soft-NMS, section 3.
    """

    def __init__(
        self,
        box_weights: tuple[float, ...] = (10.0, 10.0, 5.0, 5.0),
        score_threshold: float = 0.05,
        nms_threshold: float = 0.5,
        max_detections: int = 100,
        nms_method: str = "hard",
        nms_sigma: float = 0.5,
        min_size: float = 0.0,
        **kwargs,
    ):
        super().__init__(autocast=False, dtype="float32", **kwargs)
        if nms_method not in NMS_METHODS:
            raise ValueError(f"nms_method must be one of {NMS_METHODS}, got {nms_method!r}")
        self.box_weights = tuple(box_weights)
        self.score_threshold = score_threshold
        self.nms_threshold = nms_threshold
        self.max_detections = max_detections
        self.nms_method, self.nms_sigma = nms_method, nms_sigma
        self.min_size = min_size
        self.supports_jit = False
        self.built = True

    def call(self, logits, deltas, proposals, count, image_sizes):
        num_classes = logits.shape[-1] - 1
        shape = tf.shape(proposals)
        batch, rows = shape[0], shape[1]
        probabilities = tf.nn.softmax(logits)[..., :num_classes]
        is_real = tf.range(rows)[None] < count[:, None]  # [B, N]
        probabilities = tf.where(is_real[..., None], probabilities, 0.0)
        boxes = decode_boxes(deltas, proposals[:, :, None, :], self.box_weights)
        boxes = clip_boxes(boxes, image_sizes)  # [B, N, K or 1, 4]
        boxes = tf.broadcast_to(boxes, [batch, rows, num_classes, 4])
        classes = tf.broadcast_to(tf.range(num_classes), [batch, rows, num_classes])

        boxes = tf.reshape(boxes, [batch, rows * num_classes, 4])
        scores = tf.reshape(probabilities, [batch, rows * num_classes])
        classes = tf.reshape(classes, [batch, rows * num_classes])
        sides = boxes[..., 2:] - boxes[..., :2]
        is_box = (sides > 0) & (sides >= self.min_size)
        scores = tf.where(tf.reduce_all(is_box, axis=-1), scores, 0.0)
        indices, scores, num_detections = self._suppress(boxes, scores, classes)
        boxes, classes = (gather_rows(rows, indices) for rows in (boxes, classes))
        return padded_detections(boxes, classes, scores, num_detections)

    def _suppress(self, boxes, scores, classes):
        options = {
            "iou_threshold": self.nms_threshold,
            "score_threshold": self.score_threshold,
            "max_output": self.max_detections,
        }
        if self.nms_method == "hard":
            indices, count = nms(boxes, scores, classes, **options)
            return indices, gather_rows(scores, indices), count
        method = self.nms_method.removeprefix("soft_")
        return soft_nms(boxes, scores, classes, method, self.nms_sigma, **options)

    def get_config(self):
        config = super().get_config()
        config.pop("dtype")
        return {
            **config,
            "box_weights": self.box_weights,
            "score_threshold": self.score_threshold,
            "nms_threshold": self.nms_threshold,
            "max_detections": self.max_detections,
            "nms_method": self.nms_method,
            "nms_sigma": self.nms_sigma,
            "min_size": self.min_size,
        }


def padded_detections(boxes, classes, scores, num_detections) -> dict[str, tf.Tensor]:
    """The output of `Detections`: rows `[B, D, ...]` past `num_detections [B]` are padding."""
    is_kept = tf.range(scores.shape[1])[None] < num_detections[:, None]
    return {
        "boxes": tf.where(is_kept[..., None], boxes, 0.0),
        "classes": tf.where(is_kept, classes, -1),
        "scores": tf.where(is_kept, scores, 0.0),
        "num_detections": num_detections,
    }
