"""From RPN outputs to proposals."""

import keras
import tensorflow as tf

from mrcnn_tf.boxes import clip_boxes, decode_boxes
from mrcnn_tf.ops import nms

MIN_SIZE = 1e-3  # pixels; torchvision's smallest side of a proposal


@keras.saving.register_keras_serializable(package="mrcnn_tf")
class Proposals(keras.layers.Layer):
    """Keep the most likely boxes of each level, drop doubles, keep the most likely of all.

    Args:
        pre_nms_top_n: boxes kept per level before NMS.
        post_nms_top_n: boxes kept per image after it.
        nms_threshold: IoU above which the less likely of two boxes of one level is dropped.

    Call arguments:
        logits: list of `[B, N_l]` float32, one a level.
        deltas: list of `[B, N_l, 4]` float32.
        anchors: list of `[N_l, 4]` float32, pixels.
        image_sizes: `[B, 2]`, height and width.

    Returns:
        `boxes [B, post_nms_top_n, 4]` in pixels inside the image, `logits [B, post_nms_top_n]`,
        best first, and `count [B]` int32; rows past the count are zero boxes with logit -inf.
        No gradient flows through it.

    Reference: Feature Pyramid Networks, section 4.1; torchvision's `filter_proposals`.
    """

    def __init__(
        self,
        pre_nms_top_n: int = 1000,
        post_nms_top_n: int = 1000,
        nms_threshold: float = 0.7,
        **kwargs,
    ):
        super().__init__(autocast=False, dtype="float32", **kwargs)
        self.pre_nms_top_n = pre_nms_top_n
        self.post_nms_top_n = post_nms_top_n
        self.nms_threshold = nms_threshold
        self.supports_jit = False
        self.built = True

    def call(self, logits, deltas, anchors, image_sizes):
        boxes, scores, levels = [], [], []
        for level, (level_logits, level_deltas, level_anchors) in enumerate(
            zip(logits, deltas, anchors, strict=True)
        ):
            count = tf.shape(level_logits)[1]
            level_scores, indices = tf.math.top_k(
                tf.stop_gradient(level_logits), k=tf.minimum(self.pre_nms_top_n, count)
            )
            chosen = tf.gather(tf.stop_gradient(level_deltas), indices, batch_dims=1)
            boxes.append(decode_boxes(chosen, tf.gather(level_anchors, indices)))
            scores.append(level_scores)
            levels.append(tf.zeros_like(indices) + level)
        boxes = clip_boxes(tf.concat(boxes, axis=1), image_sizes)
        scores = tf.concat(scores, axis=1)
        sides = boxes[..., 2:] - boxes[..., :2]
        is_box = tf.reduce_all(sides >= MIN_SIZE, axis=-1)
        scores = tf.where(is_box, scores, scores.dtype.min)
        indices, count = nms(
            boxes,
            scores,
            tf.concat(levels, axis=1),
            iou_threshold=self.nms_threshold,
            score_threshold=scores.dtype.min,
            max_output=self.post_nms_top_n,
        )
        is_kept = tf.range(self.post_nms_top_n)[None] < count[:, None]
        boxes = tf.where(is_kept[..., None], tf.gather(boxes, indices, batch_dims=1), 0.0)
        scores = tf.where(is_kept, tf.gather(scores, indices, batch_dims=1), -float("inf"))
        return boxes, scores, count

    def get_config(self):
        config = super().get_config()
        config.pop("dtype")
        return {
            **config,
            "pre_nms_top_n": self.pre_nms_top_n,
            "post_nms_top_n": self.post_nms_top_n,
            "nms_threshold": self.nms_threshold,
        }
