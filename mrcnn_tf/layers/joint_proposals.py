"""From RPN outputs to proposals, all levels at once."""

import keras
import tensorflow as tf

from mrcnn_tf.boxes import from_inclusive, to_inclusive
from mrcnn_tf.layers.proposals import Proposals
from mrcnn_tf.ops import proposals


@keras.saving.register_keras_serializable(package="mrcnn_tf")
class JointProposals(Proposals):
    """Keep the most likely boxes of all levels together, drop doubles among all of them.

    Arguments, call arguments and results are those of `Proposals`, except that `pre_nms_top_n`
    counts the boxes of all levels, that boxes of different levels are doubles too, and that a box
    without area is kept. Deltas are applied to `to_inclusive(anchors)`.

    Source: Matterport's `ProposalLayer`.
    """

    def call(self, logits, deltas, anchors, image_sizes):
        boxes, logits, count = proposals(
            [tf.concat(logits, axis=1)],
            [tf.concat(deltas, axis=1)],
            [to_inclusive(tf.concat(anchors, axis=0))],
            tf.cast(image_sizes, tf.float32) - 1.0,
            pre_nms_top_n=self.pre_nms_top_n,
            post_nms_top_n=self.post_nms_top_n,
            nms_threshold=self.nms_threshold,
            min_size=0.0,
        )
        is_kept = tf.range(self.post_nms_top_n)[None] < count[:, None]
        return tf.where(is_kept[..., None], from_inclusive(boxes), 0.0), logits, count
