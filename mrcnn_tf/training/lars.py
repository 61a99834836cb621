"""LARS: a learning rate for each layer, for batches of thousands."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="mrcnn_tf")
class LARS(keras.optimizers.SGD):
    """SGD whose step is in proportion to the norm of each layer's kernel.

    `ratio = trust * |variable| / (|gradient| + l2 * |variable|)`, 1 where either norm is 0;
    `buffer = momentum * buffer + learning_rate * ratio * (gradient + l2 * variable)`;
    `variable -= buffer`. Biases and norms, which have one axis, take plain steps without decay.

    Args:
        learning_rate: number or schedule; larger than SGD's by about `1 / trust`.
        momentum: of the buffer.
        l2: weight decay of kernels.
        trust: part of a kernel's norm by which a step changes it, at a learning rate of 1.
        **kwargs: of `keras.optimizers.SGD`.

    Reference: You et al., Large Batch Training of Convolutional Networks, 2017, algorithm 1.

    Example:

    >>> model.compile(LARS(10.0, momentum=0.9, l2=1e-4))
    """

    def __init__(self, learning_rate=1.0, momentum=0.9, l2=0.0, trust=0.001, name="lars", **kwargs):
        super().__init__(learning_rate, momentum=momentum, name=name, **kwargs)
        self.l2 = l2
        self.trust = trust

    def update_step(self, gradient, variable, learning_rate):
        if len(variable.shape) > 1:
            gradient = ops.cast(gradient, variable.dtype)
            variable_norm, gradient_norm = ops.norm(variable), ops.norm(gradient)
            is_known = ops.logical_and(variable_norm > 0, gradient_norm > 0)
            divisor = gradient_norm + self.l2 * variable_norm
            ratio = self.trust * variable_norm / ops.where(is_known, divisor, 1.0)
            gradient = ops.where(is_known, ratio, 1.0) * (gradient + self.l2 * variable)
        super().update_step(gradient, variable, learning_rate)

    def get_config(self):
        return {**super().get_config(), "l2": self.l2, "trust": self.trust}
