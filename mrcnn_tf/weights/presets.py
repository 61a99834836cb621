"""Presets: models by name, and where their weights come from."""

import typing
from collections.abc import Callable

from mrcnn_tf.models.mask_rcnn import MaskRCNN
from mrcnn_tf.models.matterport import MATTERPORT_ARGUMENTS, MatterportMaskRCNN
from mrcnn_tf.weights.coco_categories import (
    COCO_CLASSES,
    TORCHVISION_COCO_CATEGORIES,
    coco_person,
)
from mrcnn_tf.weights.detectron2 import (
    DETECTRON2_ARGUMENTS,
    DETECTRON2_KEYPOINT_ARGUMENTS,
    model_from_detectron2,
)
from mrcnn_tf.weights.download import PublishedFile
from mrcnn_tf.weights.matterport import model_from_matterport
from mrcnn_tf.weights.torchvision_detection import (
    TORCHVISION_ARGUMENTS,
    TORCHVISION_V2_ARGUMENTS,
    model_from_torchvision,
)


class PublishedDetector(typing.NamedTuple):
    """A trained detector that somebody offers.

    Attributes:
        file: its weights.
        megabytes: size of the file in units of 10^6 bytes.
        licence: under which the publisher offers it; terms of the data it was trained on may come
            on top.
        importer: makes the model of the file and of arguments of the model.
        average_precision: percent on COCO val2017 as the publisher states it, by `"box"`, `"mask"`
            and `"keypoint"`; empty where there is no such statement.
        model_class: what the importer makes.
    """

    file: PublishedFile
    megabytes: int
    licence: str
    importer: Callable
    average_precision: dict[str, float]
    model_class: type[MaskRCNN] = MaskRCNN


class Preset(typing.NamedTuple):
    """One entry of `PRESETS`.

    Attributes:
        description: one line for people.
        arguments: of `MaskRCNN`.
        backbone_weights: what `load_backbone_weights` is asked for, unless there is a detector.
        detector: the published one that all weights come from.
    """

    description: str
    arguments: dict[str, typing.Any]
    backbone_weights: str | None = None
    detector: PublishedDetector | None = None


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

_TORCHVISION_COCO = {
    **TORCHVISION_ARGUMENTS,
    "num_classes": len(TORCHVISION_COCO_CATEGORIES),
    "class_names": list(TORCHVISION_COCO_CATEGORIES),
    "image_size": (800, 1333),
}

_DETECTRON2_COCO = {**DETECTRON2_ARGUMENTS, **COCO_CLASSES, "image_size": (800, 1333)}

_PERSON = {**coco_person(1, 17), "num_classes": 1, "mask": False, "keypoints": 17}


def _torchvision(
    description: str, name: str, megabytes: int, average_precision: dict[str, float], **arguments
) -> Preset:
    """A row of torchvision's weights enums; the hash stands at the end of the file's name."""
    digest = name.rpartition("-")[2]
    file = PublishedFile(f"https://download.pytorch.org/models/{name}.pth", "sha256", digest)
    return Preset(
        description,
        {**_TORCHVISION_COCO, **arguments},
        detector=PublishedDetector(
            file, megabytes, "BSD-3-Clause", model_from_torchvision, average_precision
        ),
    )


def _detectron2(
    description: str, path: str, megabytes: int, average_precision: dict[str, float], **arguments
) -> Preset:
    """A row of Detectron2's `MODEL_ZOO.md`, which gives no sizes: these follow from the tensors."""
    digest = path.rpartition("_")[2]
    file = PublishedFile(f"https://dl.fbaipublicfiles.com/detectron2/{path}.pkl", "md5", digest)
    return Preset(
        description,
        {**_DETECTRON2_COCO, **arguments},
        detector=PublishedDetector(
            file, megabytes, "CC BY-SA 3.0", model_from_detectron2, average_precision
        ),
    )


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
    "keypointrcnn_resnet50_fpn": Preset(
        "Keypoint R-CNN as published: persons and COCO's 17 joints; backbone from ImageNet.",
        {**_PERSON, "backbone": "resnet50"},
        "imagenet",
    ),
    "keypointrcnn_efficientnet_lite0_fpn": Preset(
        "Persons and joints, half as wide, for a CPU or a small GPU; backbone from ImageNet.",
        {**_PERSON, **_SMALL, "keypoint_channels": 256, "keypoint_convs": 4},
        "imagenet",
    ),
    "torchvision/maskrcnn_resnet50_fpn_coco": _torchvision(
        "torchvision's MaskRCNN_ResNet50_FPN_Weights.COCO_V1.",
        "maskrcnn_resnet50_fpn_coco-bf2d0c1e",
        178,
        {"box": 37.9, "mask": 34.6},
        backbone="resnet50",
        mask=True,
    ),
    "torchvision/fasterrcnn_resnet50_fpn_coco": _torchvision(
        "torchvision's FasterRCNN_ResNet50_FPN_Weights.COCO_V1.",
        "fasterrcnn_resnet50_fpn_coco-258fb6c6",
        168,
        {"box": 37.0},
        backbone="resnet50",
        mask=False,
    ),
    "torchvision/maskrcnn_resnet50_fpn_v2_coco": _torchvision(
        "torchvision's MaskRCNN_ResNet50_FPN_V2_Weights.COCO_V1.",
        "maskrcnn_resnet50_fpn_v2_coco-73cbd019",
        186,
        {"box": 47.4, "mask": 41.8},
        **TORCHVISION_V2_ARGUMENTS,
        backbone="resnet50",
        mask=True,
    ),
    "torchvision/fasterrcnn_resnet50_fpn_v2_coco": _torchvision(
        "torchvision's FasterRCNN_ResNet50_FPN_V2_Weights.COCO_V1.",
        "fasterrcnn_resnet50_fpn_v2_coco-dd69338a",
        175,
        {"box": 46.7},
        **TORCHVISION_V2_ARGUMENTS,
        backbone="resnet50",
        mask=False,
    ),
    "torchvision/keypointrcnn_resnet50_fpn_coco": _torchvision(
        "torchvision's KeypointRCNN_ResNet50_FPN_Weights.COCO_V1.",
        "keypointrcnn_resnet50_fpn_coco-fc266e95",
        237,
        {"box": 54.6, "keypoint": 65.0},
        **_PERSON,
        backbone="resnet50",
    ),
    "detectron2/mask_rcnn_R_50_FPN_1x": _detectron2(
        "Detectron2's Mask R-CNN with ResNet-50, 12 epochs of COCO.",
        "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x/137260431/model_final_a54504",
        178,
        {"box": 38.6, "mask": 35.2},
        backbone="resnet50",
        mask=True,
    ),
    "detectron2/mask_rcnn_R_50_FPN_3x": _detectron2(
        "Detectron2's Mask R-CNN with ResNet-50, 37 epochs of COCO.",
        "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x/137849600/model_final_f10217",
        178,
        {"box": 41.0, "mask": 37.2},
        backbone="resnet50",
        mask=True,
    ),
    "detectron2/mask_rcnn_R_101_FPN_3x": _detectron2(
        "Detectron2's Mask R-CNN with ResNet-101, 37 epochs of COCO.",
        "COCO-InstanceSegmentation/mask_rcnn_R_101_FPN_3x/138205316/model_final_a3ec72",
        254,
        {"box": 42.9, "mask": 38.6},
        backbone="resnet101",
        mask=True,
    ),
    "detectron2/faster_rcnn_R_50_FPN_1x": _detectron2(
        "Detectron2's Faster R-CNN with ResNet-50, 12 epochs of COCO.",
        "COCO-Detection/faster_rcnn_R_50_FPN_1x/137257794/model_final_b275ba",
        167,
        {"box": 37.9},
        backbone="resnet50",
        mask=False,
    ),
    "detectron2/faster_rcnn_R_50_FPN_3x": _detectron2(
        "Detectron2's Faster R-CNN with ResNet-50, 37 epochs of COCO.",
        "COCO-Detection/faster_rcnn_R_50_FPN_3x/137849458/model_final_280758",
        167,
        {"box": 40.2},
        backbone="resnet50",
        mask=False,
    ),
    "detectron2/faster_rcnn_R_101_FPN_3x": _detectron2(
        "Detectron2's Faster R-CNN with ResNet-101, 37 epochs of COCO.",
        "COCO-Detection/faster_rcnn_R_101_FPN_3x/137851257/model_final_f6e8b1",
        243,
        {"box": 42.0},
        backbone="resnet101",
        mask=False,
    ),
    "detectron2/keypoint_rcnn_R_50_FPN_1x": _detectron2(
        "Detectron2's Keypoint R-CNN with ResNet-50, 12 epochs of COCO's persons.",
        "COCO-Keypoints/keypoint_rcnn_R_50_FPN_1x/137261548/model_final_04e291",
        237,
        {"box": 53.6, "keypoint": 64.0},
        **DETECTRON2_KEYPOINT_ARGUMENTS,
        **_PERSON,
        backbone="resnet50",
    ),
    "detectron2/keypoint_rcnn_R_50_FPN_3x": _detectron2(
        "Detectron2's Keypoint R-CNN with ResNet-50, 37 epochs of COCO's persons.",
        "COCO-Keypoints/keypoint_rcnn_R_50_FPN_3x/137849621/model_final_a6e10b",
        237,
        {"box": 55.4, "keypoint": 65.5},
        **DETECTRON2_KEYPOINT_ARGUMENTS,
        **_PERSON,
        backbone="resnet50",
    ),
    "detectron2/keypoint_rcnn_R_101_FPN_3x": _detectron2(
        "Detectron2's Keypoint R-CNN with ResNet-101, 37 epochs of COCO's persons.",
        "COCO-Keypoints/keypoint_rcnn_R_101_FPN_3x/138363331/model_final_997cc7",
        313,
        {"box": 56.4, "keypoint": 66.1},
        **DETECTRON2_KEYPOINT_ARGUMENTS,
        **_PERSON,
        backbone="resnet101",
    ),
    "matterport/mask_rcnn_coco": Preset(
        "Matterport's Mask R-CNN with ResNet-101, release 2.0.",
        {
            **MATTERPORT_ARGUMENTS,
            **COCO_CLASSES,
            "backbone": "resnet101",
            "mask": True,
            "image_size": (800, 1024),
        },
        detector=PublishedDetector(
            PublishedFile(
                "https://github.com/matterport/Mask_RCNN/releases/download/v2.0/mask_rcnn_coco.h5",
                # Not Matterport's own word, but that of NVIDIA's TensorRT samples, which use it.
                "md5",
                "e98aaff6f99e307b5e2a8a3ff741a518",
            ),
            258,
            "MIT",
            model_from_matterport,
            {},
            MatterportMaskRCNN,
        ),
    ),
}
