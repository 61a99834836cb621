"""Layers of Mask R-CNN that a model with another way of doing it builds by itself."""

import keras

from mrcnn_tf.layers import Detections, Proposals, RoIPooling, build_backbone


class ReplaceableLayers:
    """Parts of `MaskRCNN` that `MatterportMaskRCNN` replaces, each by the method that builds it."""

    def _build_backbone(self, name: str, **options) -> keras.layers.Layer:
        return build_backbone(name, **options)

    def _build_proposals(self, *options) -> keras.layers.Layer:
        return Proposals(*options)

    def _build_pooling(self, output_size: int) -> keras.layers.Layer:
        return RoIPooling(
            output_size,
            self.fpn.strides[:-1],  # P6 gives proposals, but no features.
            sampling_ratio=self.arguments["sampling_ratio"],
            aligned=self.arguments["roi_aligned"],
            canonical_size=self.arguments["roi_canonical_size"],
            dtype=self.dtype_policy,
        )

    def _build_detections(self) -> keras.layers.Layer:
        return Detections(
            self.box_weights,
            self.arguments["score_threshold"],
            self.arguments["nms_threshold"],
            self.max_detections,
            self.arguments["nms_method"],
            self.arguments["nms_sigma"],
            self.arguments["min_detection_size"],
        )
