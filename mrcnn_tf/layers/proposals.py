"""From RPN outputs to proposals."""

import keras

from mrcnn_tf.ops import proposals


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
        return proposals(
            logits,
            deltas,
            anchors,
            image_sizes,
            pre_nms_top_n=self.pre_nms_top_n,
            post_nms_top_n=self.post_nms_top_n,
            nms_threshold=self.nms_threshold,
        )

    def get_config(self):
        config = super().get_config()
        config.pop("dtype")
        return {
            **config,
            "pre_nms_top_n": self.pre_nms_top_n,
            "post_nms_top_n": self.post_nms_top_n,
            "nms_threshold": self.nms_threshold,
        }
