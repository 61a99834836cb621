"""SGD as the published recipes have it."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="mrcnn_tf")
class TorchSGD(keras.optimizers.SGD):
    """PyTorch's SGD: weight decay goes into the gradient, the learning rate stays outside momentum.

    `buffer = momentum * buffer + gradient + l2 * variable`, `variable -= learning_rate * buffer`.
    Keras's SGD keeps the learning rate of past steps in its buffer, and decays weights apart from
    it, where the same number is a tenth as strong at momentum 0.9.

    Args:
        learning_rate: number or schedule.
        momentum: of the buffer.
        l2: weight decay of kernels; biases and norms, which have one axis, have none.
        **kwargs: of `keras.optimizers.SGD`.

    Reference: `torch.optim.SGD`, with which torchvision and Detectron2 train.

    Example:

    >>> model.compile(TorchSGD(0.02, momentum=0.9, l2=1e-4))
    """

    def __init__(self, learning_rate=0.01, momentum=0.9, l2=0.0, name="torch_sgd", **kwargs):
        super().__init__(learning_rate, momentum=momentum, name=name, **kwargs)
        self.l2 = l2

    def update_step(self, gradient, variable, learning_rate):
        learning_rate = ops.cast(learning_rate, variable.dtype)
        gradient = ops.cast(gradient, variable.dtype)
        if self.l2 and len(variable.shape) > 1:
            gradient = gradient + self.l2 * variable
        if self.momentum:
            buffer = self.momentums[self._get_variable_index(variable)]
            self.assign(buffer, self.momentum * buffer + gradient)
            gradient = buffer
        self.assign_sub(variable, learning_rate * gradient)

    def get_config(self):
        return {**super().get_config(), "l2": self.l2}
