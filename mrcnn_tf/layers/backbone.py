"""What every backbone shares: the stages, the taps and what freezing means."""

import keras
import tensorflow as tf


class Backbone(keras.layers.Layer):
    """Base of the backbones: a stem and blocks in four stages that end at strides 4, 8, 16, 32.

    A subclass sets `image_mean`, `image_std` and `out_channels`, builds `self.stem` and the flat
    list `self.blocks`, and calls `_finish(stage_ends)`.

    Freezing is the `trainable` flag of the stem and the blocks, nothing else. `frozen_stages`
    sets it when the backbone is built (1 the stem, 2 the stem and the stage of stride 4, up to 5
    for everything; Detectron2's `FREEZE_AT`). To thaw everything later, set
    `backbone.trainable` to False and then to True (Keras does nothing when the value is not
    new). The backward pass ends at the last frozen block, so frozen stages cost no gradient.
    """

    strides = (4, 8, 16, 32)

    def __init__(self, norm: str, frozen_stages: int, **kwargs):
        super().__init__(**kwargs)
        if frozen_stages not in range(6):
            raise ValueError(
                f"frozen_stages={frozen_stages!r} must be 0 (nothing) to 5 (stem and all stages)"
            )
        self.norm = norm
        self.frozen_stages = frozen_stages

    def _finish(self, stage_ends: list[int]) -> None:
        """Notes where in `self.blocks` each stage ends and freezes what `frozen_stages` says."""
        self._stage_ends = tuple(stage_ends)
        if self.frozen_stages > 0:
            self.stem.trainable = False
        for block in self.blocks[: (0, 0, *stage_ends)[self.frozen_stages]]:
            block.trainable = False
        self.built = True

    def call(self, images, training=None):
        features = self.stem(images, training=training)
        frozen = not self.stem.trainable_weights
        features = self._after_stem(features)
        outputs = []
        for index, block in enumerate(self.blocks):
            if frozen and block.trainable_weights:
                features, frozen = tf.stop_gradient(features), False
            features = block(features, training=training)
            if index + 1 in self._stage_ends:
                outputs.append(tf.stop_gradient(features) if frozen else features)
        return outputs

    def _after_stem(self, features):
        return features

    def get_config(self):
        return {**super().get_config(), "norm": self.norm, "frozen_stages": self.frozen_stages}
