"""The ResNet of Matterport's Mask R-CNN."""

import keras
import tensorflow as tf

from mrcnn_tf.layers.resnet import ResNet


@keras.saving.register_keras_serializable(package="mrcnn_tf")
class MatterportResNet(ResNet):
    """A ResNet-50 or 101 for pixels less their mean, whose max pooling is TensorFlow's.

    `ResNet` pads the pooling after the stem by a row on all sides; TensorFlow's `same` pads an even
    size at the bottom and right alone, so every feature lies half a pixel of the stem elsewhere.
    Arguments and outputs are those of `ResNet`.

    Source: Matterport's `resnet_graph`.

    Example:
        >>> backbone = MatterportResNet(50, stride_in_1x1=True, epsilon=1e-3)
        >>> [c.shape[-1] for c in backbone(tf.zeros([1, 64, 64, 3]))]
        [256, 512, 1024, 2048]
    """

    image_mean = (123.7, 116.8, 103.9)
    image_std = (1.0, 1.0, 1.0)

    def _after_stem(self, features):
        return tf.nn.max_pool2d(features, 3, 2, "SAME")
