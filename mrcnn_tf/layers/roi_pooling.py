"""RoIAlign as a layer."""

import keras

from mrcnn_tf.ops import roi_align


@keras.saving.register_keras_serializable(package="mrcnn_tf")
class RoIPooling(keras.layers.Layer):
    """RoIAlign over the pyramid: a fixed grid of features for every box.

    Args:
        output_size: bins per side, or `(height, width)`.
        strides: pixels per cell, one a level.
        sampling_ratio: bilinear samples per bin and axis; 0 takes as many as the bin has cells.
        aligned: shift by half a pixel, so that samples lie where the pixels are.
        canonical_size: side in pixels of the square box that is pooled from P4; a box of half
            the side is pooled from P3.

    Call arguments:
        pyramid: list of `[B, H, W, C]`.
        boxes: `[B, N, 4]` float32, pixels; no gradient reaches them.

    Returns:
        `[B, N, h, w, C]`.

    Reference: Mask R-CNN, section 3; level by equation 1 of Feature Pyramid Networks.
    """

    def __init__(
        self,
        output_size,
        strides,
        sampling_ratio: int = 2,
        aligned: bool = True,
        canonical_size: float = 224,
        **kwargs,
    ):
        super().__init__(autocast=False, **kwargs)
        self.output_size = output_size if isinstance(output_size, int) else tuple(output_size)
        self.strides = tuple(strides)
        self.sampling_ratio = sampling_ratio
        self.aligned = aligned
        self.canonical_size = canonical_size
        self.supports_jit = False
        self.built = True

    def call(self, pyramid, boxes):
        return roi_align(
            list(pyramid),
            boxes,
            self.output_size,
            list(self.strides),
            sampling_ratio=self.sampling_ratio,
            aligned=self.aligned,
            canonical_size=self.canonical_size,
        )

    def get_config(self):
        return {
            **super().get_config(),
            "output_size": self.output_size,
            "strides": self.strides,
            "sampling_ratio": self.sampling_ratio,
            "aligned": self.aligned,
            "canonical_size": self.canonical_size,
        }
