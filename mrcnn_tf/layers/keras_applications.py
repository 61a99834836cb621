"""The convolutional networks of keras.applications as feature extractors."""

import collections
import contextlib
import re
import typing

import keras
import tensorflow as tf

from mrcnn_tf.layers.backbone import Backbone
from mrcnn_tf.layers.normalization import NORMALIZATIONS, build_normalization
from mrcnn_tf.layers.stage_ends import stage_ends


class Pixels(typing.NamedTuple):
    """How a network wants its images: mean and deviation of red, green, blue, and their order."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    reads_bgr: bool = False


TORCH = Pixels((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
SIGNED = Pixels((127.5, 127.5, 127.5), (127.5, 127.5, 127.5))
CAFFE = Pixels((123.68, 116.779, 103.939), (1.0, 1.0, 1.0), reads_bgr=True)
# By module of keras.applications, be it done in `preprocess_input` or by the first layers.
PIXELS = {
    "convnext": TORCH,
    "densenet": TORCH,
    "efficientnet": TORCH,
    "efficientnet_v2": TORCH,
    "mobilenet": SIGNED,
    "mobilenet_v2": SIGNED,
    "mobilenet_v3": SIGNED,
    "resnet": CAFFE,
    "resnet_v2": SIGNED,
    "vgg16": CAFFE,
    "vgg19": CAFFE,
}
# The larger half of a family that was trained with two kinds of preprocessing.
PIXELS_BY_NAME = dict.fromkeys(
    ("EfficientNetV2S", "EfficientNetV2M", "EfficientNetV2L"),
    Pixels((128.0, 128.0, 128.0), (128.0, 128.0, 128.0)),
)


@keras.saving.register_keras_serializable(package="mrcnn_tf")
class LayerScale(keras.layers.Layer):
    """ConvNeXt's learnt factor a channel; Keras's own layer has a weight without a name.

    Args:
        channels: C of the input `[..., C]`.
        initial_value: Of every factor.
    """

    def __init__(self, channels: int, initial_value: float = 1e-6, **kwargs):
        super().__init__(**kwargs)
        self.channels = channels
        self.initial_value = initial_value
        self.gamma = self.add_weight(
            shape=(channels,),
            initializer=keras.initializers.Constant(initial_value),
            name="gamma",
        )
        self.built = True

    def call(self, inputs):
        return inputs * self.gamma

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "channels": self.channels,
            "initial_value": self.initial_value,
        }


@keras.saving.register_keras_serializable(package="mrcnn_tf")
class KerasApplication(Backbone):
    """A network of `keras.applications`: `images [B, H, W, 3]` to features at four strides.

    H and W are multiples of 32, as `NormalizeImages` makes them. The outputs are
    `[B, H / s, W / s, c]` for s in `strides` (4, 8, 16, 32) and c in `out_channels`: at each
    stride the last map on which alone everything behind it depends. Which that is, is found from
    the network's graph and the shapes of its maps. For residual networks it is the output of the
    stage, for those of inverted bottlenecks (MobileNetV2, EfficientNet) the wide map that the
    next strided convolution reads, for ConvNeXt and ResNetV2 the sum before the normalisation.

    The network is Keras's own with weights of the same shapes and starts from random numbers;
    `mrcnn_tf.weights.load_backbone_weights` loads ImageNet's. Four things differ. Layers that
    normalise pixels are left out: input is `(rgb - image_mean) / image_std`, which with them
    equals Keras's `preprocess_input`; so padding is zero as in every backbone. Batch
    normalisations become what `norm` says. Dropped paths of EfficientNets are never dropped,
    as random choices are stateless here. Convolutions with one channel a group (ConvNeXt) are
    depthwise convolutions, since TensorFlow runs the former with XLA alone.
    Reference: https://keras.io/api/applications.

    Args:
        application: Name of the class, such as `"EfficientNetV2B0"` or `"ConvNeXtTiny"`.
        norm: `"frozen_batch_norm"` (needs pretrained weights), `"batch_norm"`,
            `"sync_batch_norm"` or, where 32 divides all channels, `"group_norm"`; see
            `build_normalization`. Other normalisations, such as ConvNeXt's, stay as they are.
        frozen_stages: 0 trains everything, 1 freezes the stem (all up to stride 2; ConvNeXt's
            first convolution), 2 the stem and what is at stride 4, up to 5 for all.

    Raises:
        ValueError: There is no such network, its maps do not fit a pyramid, or an argument is
            out of its range.

    Example:
        >>> backbone = KerasApplication("MobileNetV3Small")
        >>> [c.shape[-1] for c in backbone(tf.zeros([1, 64, 64, 3]))]
        [72, 96, 288, 576]
    """

    def __init__(
        self,
        application: str,
        norm: str = "frozen_batch_norm",
        frozen_stages: int = 0,
        **kwargs,
    ):
        super().__init__(norm, frozen_stages, **kwargs)
        if norm not in NORMALIZATIONS:
            raise ValueError(
                f"norm={norm!r} is not known; choose one of {', '.join(NORMALIZATIONS)}"
            )
        self.application = application

        names = ("stem", "stage2", "stage3", "stage4", "stage5")
        with _global_policy(self.dtype_policy), keras.name_scope(self.name):
            original = build_application(application)
            layer_names = stable_names(original)
            network = keras.models.clone_model(
                original,
                clone_function=lambda operation: _rebuilt(operation, layer_names, norm),
                call_function=_called,
            )
            ends = stage_ends(application, network)
            self.stem, *self.blocks = (
                keras.Model(start, end, name=name)
                for start, end, name in zip(ends[:-1], ends[1:], names, strict=True)
            )
        self.image_mean, self.image_std, self.reads_bgr = pixels_of(application)
        self.out_channels = tuple(end.shape[-1] for end in ends[2:])
        self._finish([1, 2, 3, 4])

    def call(self, images, training=None):
        known = [side for side in images.shape[1:3] if side is not None]
        if any(side % 32 for side in known):
            raise ValueError(
                f"{self.application} needs images whose height and width are multiples of 32; got "
                f"{images.shape}. NormalizeImages pads them"
            )
        if self.reads_bgr:
            images = tf.reverse(images, [-1])
        return super().call(images, training=training)

    def get_config(self):
        return {**super().get_config(), "application": self.application}


def application_names() -> list[str]:
    """Names of all networks in keras.applications."""
    return [name for name in dir(keras.applications) if name[0].isupper()]


def build_application(name: str, **arguments) -> keras.Model:
    """Keras's own network without its classifier.

    Args:
        name: Name in keras.applications.
        **arguments: `weights` (None if not given) and `input_shape` of the network's function.

    Raises:
        ValueError: There is no such network.
    """
    if name not in application_names():
        raise ValueError(
            f"{name!r} is no network of keras.applications in Keras {keras.__version__}; choose "
            f"one of {', '.join(application_names())}"
        )
    arguments = {"weights": None, "input_shape": (None, None, 3), **arguments}
    return getattr(keras.applications, name)(include_top=False, **arguments)


def pixels_of(name: str) -> Pixels:
    """The images that a network was trained on.

    Raises:
        ValueError: The network is of a family that is not known here.
    """
    module = getattr(keras.applications, name).__module__.rpartition(".")[-1]
    if module not in PIXELS:
        raise ValueError(
            f"{name} is of a family whose preprocessing of images this release of mrcnn_tf does "
            f"not know ({module}); it knows {', '.join(PIXELS)}"
        )
    return PIXELS_BY_NAME.get(name, PIXELS[module])


def stable_names(network: keras.Model) -> dict[keras.layers.Layer, str]:
    """The names of a network's layers, without the counters of the process.

    Keras numbers layers without a name through the whole process, and our weights keep their
    paths in whichever order models are built.
    """
    names, counts = {}, collections.Counter()
    for layer in network.layers:
        names[layer] = layer.name
        kind = re.sub(r"_\d+$", "", layer.name)
        if kind.replace("_", "") == type(layer).__name__.lower():
            counts[kind] += 1
            names[layer] = f"{kind}_{counts[kind]}"
    return names


@contextlib.contextmanager
def _global_policy(policy: keras.DTypePolicy):
    """The networks take no dtype; they follow Keras's global policy."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _rebuilt(operation, names: dict, norm: str):
    """A layer like the given one, or what stands in for it here."""
    config = operation.get_config()
    if operation not in names:
        return type(operation).from_config(config)  # The bare `+` between layers
    name = names[operation]
    layers = keras.layers
    if isinstance(operation, layers.Dropout):
        return layers.Identity(name=name)
    if isinstance(operation, layers.BatchNormalization):
        channels = operation.moving_mean.shape[0]
        return build_normalization(norm, channels, operation.epsilon, operation.momentum, name=name)
    if isinstance(operation, layers.Conv2D) and 1 < operation.groups == operation.filters:
        return layers.DepthwiseConv2D(
            operation.kernel_size, operation.strides, operation.padding, name=name
        )
    if isinstance(operation, layers.Activation) and operation.activation is keras.activations.gelu:
        return layers.Activation(_gelu, name=name)
    if type(operation).__name__ == "LayerScale":
        return LayerScale(operation.projection_dim, operation.init_values, name=name)
    return type(operation).from_config({**config, "name": name})


def _gelu(features):
    # TensorFlow's own computes it by an operation that TF.js lacks.
    return 0.5 * features * (1.0 + tf.math.erf(features * 0.5**0.5))


def _called(operation, *args, mask=None, training=None, **kwargs):
    # Layers of ours do not take what those that they stand in for were called with.
    return operation(*args, **kwargs)
