"""Presets: architectures by name, and where their weights come from."""

import typing


class Preset(typing.NamedTuple):
    """One entry of `PRESETS`.

    Attributes:
        description: one line for people.
        arguments: of `MaskRCNN`.
        backbone_weights: what `load_backbone_weights` is asked for.
    """

    description: str
    arguments: dict[str, typing.Any]
    backbone_weights: str


_SMALL = {
    "backbone": "efficientnet_lite0",
    "image_size": (512, 512),
    "frozen_stages": 2,
    "fpn_channels": 128,
    "anchor_sizes": (16, 32, 64, 128, 256),
    "rpn_pre_nms_top_n": (1000, 1000),
    "rpn_post_nms_top_n": (500, 300),
    "rois_per_image": 128,
    "roi_canonical_size": 112,
    "box_fc": (512, 512),
    "mask_channels": 128,
}

PRESETS = {
    "maskrcnn_resnet50_fpn": Preset(
        "Mask R-CNN as published: ResNet-50, FPN, 800 x 1333 pixels; backbone from ImageNet.",
        {"backbone": "resnet50"},
        "imagenet",
    ),
    "fasterrcnn_resnet50_fpn": Preset(
        "Faster R-CNN with ResNet-50 and FPN, boxes only; backbone from ImageNet.",
        {"backbone": "resnet50", "mask": False},
        "imagenet",
    ),
    "maskrcnn_resnet101_fpn": Preset(
        "Mask R-CNN with ResNet-101 and FPN; backbone from ImageNet.",
        {"backbone": "resnet101"},
        "imagenet",
    ),
    "fasterrcnn_resnet101_fpn": Preset(
        "Faster R-CNN with ResNet-101 and FPN, boxes only; backbone from ImageNet.",
        {"backbone": "resnet101", "mask": False},
        "imagenet",
    ),
    "maskrcnn_efficientnet_lite0_fpn": Preset(
        "Half as wide, for a CPU or a small GPU; backbone from ImageNet, installed as a package.",
        _SMALL,
        "imagenet",
    ),
    "fasterrcnn_efficientnet_lite0_fpn": Preset(
        "The same without masks.",
        {**_SMALL, "mask": False},
        "imagenet",
    ),
}
