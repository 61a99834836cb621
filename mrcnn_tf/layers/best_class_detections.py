"""From box head outputs to detections, one class a RoI."""

import keras
import tensorflow as tf

from mrcnn_tf.boxes import decode_boxes, from_inclusive, to_inclusive
from mrcnn_tf.layers.detections import padded_detections
from mrcnn_tf.ops import nms
from mrcnn_tf.ops.shapes import gather_rows


@keras.saving.register_keras_serializable(package="mrcnn_tf")
class BestClassDetections(keras.layers.Layer):
    """Decode the box of every RoI's most probable class, drop doubles within a class.

    `Detections` makes a candidate of every class of a RoI; here a RoI is one object or, where
    background is at least as probable, none. Deltas are applied to `to_inclusive(proposals)`, and
    boxes end at the window in which their image lies.

    Args:
        box_weights: factors of the deltas, see `decode_boxes`.
        score_threshold: lowest probability of a detection.
        nms_threshold: IoU above which the less likely of two boxes of one class is dropped.
        max_detections: rows of the output.

    Call arguments:
        logits: `[B, N, K + 1]` float32, background last.
        deltas: `[B, N, K, 4]`, or `[B, N, 1, 4]`, float32.
        proposals: `[B, N, 4]`, pixels.
        count: `[B]` int32, proposals that are real.
        windows: `[B, 4]` float32, x1, y1, x2, y2 in pixels.

    Returns:
        dict as `Detections` has it.

    Source: Matterport's `DetectionLayer`.
    """

    def __init__(
        self,
        box_weights: tuple[float, ...] = (10.0, 10.0, 5.0, 5.0),
        score_threshold: float = 0.7,
        nms_threshold: float = 0.3,
        max_detections: int = 100,
        **kwargs,
    ):
        super().__init__(autocast=False, dtype="float32", **kwargs)
        self.box_weights = tuple(box_weights)
        self.score_threshold = score_threshold
        self.nms_threshold = nms_threshold
        self.max_detections = max_detections
        self.supports_jit = False
        self.built = True

    def call(self, logits, deltas, proposals, count, windows):
        probabilities = tf.nn.softmax(logits)
        foreground, background = probabilities[..., :-1], probabilities[..., -1]
        classes = tf.argmax(foreground, axis=-1, output_type=tf.int32)
        scores = tf.reduce_max(foreground, axis=-1)
        is_real = tf.range(tf.shape(proposals)[1])[None] < count[:, None]  # [B, N]
        is_object = is_real & (scores > background) & (scores >= self.score_threshold)
        scores = tf.where(is_object, scores, -float("inf"))

        delta_sets = tf.minimum(classes, tf.shape(deltas)[2] - 1)
        deltas = tf.gather(deltas, delta_sets, axis=2, batch_dims=2)
        boxes = decode_boxes(deltas, to_inclusive(proposals), self.box_weights)
        windows = to_inclusive(windows)[:, None]  # [B, 1, 4]
        first, last = tf.tile(windows[..., :2], [1, 1, 2]), tf.tile(windows[..., 2:], [1, 1, 2])
        boxes = tf.maximum(tf.minimum(boxes, last), first)

        indices, num_detections = nms(
            boxes, scores, classes, self.nms_threshold, tf.float32.min, self.max_detections
        )
        boxes, classes, scores = (gather_rows(rows, indices) for rows in (boxes, classes, scores))
        return padded_detections(from_inclusive(boxes), classes, scores, num_detections)

    def get_config(self):
        config = super().get_config()
        config.pop("dtype")
        return {
            **config,
            "box_weights": self.box_weights,
            "score_threshold": self.score_threshold,
            "nms_threshold": self.nms_threshold,
            "max_detections": self.max_detections,
        }
