"""Backbones by name."""

from functools import partial

from mrcnn_tf.layers.backbone import Backbone
from mrcnn_tf.layers.efficientnet_lite import EfficientNetLite0
from mrcnn_tf.layers.keras_applications import KerasApplication
from mrcnn_tf.layers.resnet import ResNet

BACKBONES = {
    "resnet18": partial(ResNet, 18),
    "resnet34": partial(ResNet, 34),
    "resnet50": partial(ResNet, 50),
    "resnet101": partial(ResNet, 101),
    "efficientnet_lite0": EfficientNetLite0,
}
KERAS = "keras/"


def build_backbone(
    name: str,
    norm: str = "frozen_batch_norm",
    stride_in_1x1: bool = False,
    frozen_stages: int = 0,
    base_channels: int | None = None,
    epsilon: float | None = None,
    dtype=None,
) -> Backbone:
    """Builds a backbone, its weights included.

    Args:
        name: `"resnet18"`, `"resnet34"`, `"resnet50"`, `"resnet101"`, `"efficientnet_lite0"`, or
            `"keras/"` and a network of keras.applications, such as `"keras/EfficientNetV2B0"`, see
            `KerasApplication`. Also the name of the layer, there without `"keras/"`.
        norm: See `build_normalization`.
        stride_in_1x1: For bottleneck ResNets (50 and 101), see `ResNet`.
        frozen_stages: 0 to 5, see `ResNet`, `EfficientNetLite0` and `KerasApplication`.
        base_channels: For ResNets, channels of the stem; 64 if not given. See `ResNet`.
        epsilon: For ResNets, added to variances; 1e-5 if not given.
        dtype: dtype or dtype policy of the convolutions; Keras's global one if not given.

    Raises:
        ValueError: The name is not known, the network does not fit a pyramid, or the backbone has
            no such option.
    """
    if name not in BACKBONES and not name.startswith(KERAS):
        raise ValueError(
            f"backbone={name!r} is not known; choose one of {', '.join(BACKBONES)}, or "
            f"{KERAS}NAME of a network in keras.applications"
        )
    options = {"norm": norm, "frozen_stages": frozen_stages, "dtype": dtype}
    if stride_in_1x1:
        if not name.startswith("resnet"):
            raise ValueError(f"stride_in_1x1 is an option of ResNets; {name} has no such block")
        options["stride_in_1x1"] = True
    if base_channels is not None:
        if not name.startswith("resnet"):
            raise ValueError(f"base_channels is an option of ResNets; {name} has fixed channels")
        options["base_channels"] = base_channels
    if epsilon is not None:
        if not name.startswith("resnet"):
            raise ValueError(f"epsilon is an option of ResNets; {name} has its own")
        options["epsilon"] = epsilon
    if name.startswith(KERAS):
        application = name.removeprefix(KERAS)
        return KerasApplication(application, name=application, **options)
    return BACKBONES[name](name=name, **options)
