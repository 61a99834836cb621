import pytest

from mrcnn_tf import MaskRCNN
from tests.models.tiny import ARGUMENTS


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"backbone": "resnet19"}, "backbone='resnet19'.*resnet18"),
        ({"num_classes": 0}, "num_classes must be at least 1"),
        ({"class_names": ["one"]}, "class_names has 1 entries, but num_classes is 3"),
        ({"category_ids": [1, 2]}, "category_ids has 2 entries, but num_classes is 3"),
        ({"category_ids": [1, 2, 2]}, "category_ids has an id twice"),
        ({"anchor_sizes": (8, 16)}, "anchor_sizes has 2 entries.*5 levels"),
        ({"norm": "group_norm"}, "norm='group_norm'"),
        ({"frozen_stages": 6}, "frozen_stages=6"),
        ({"stride_in_1x1": True}, "stride_in_1x1"),
        ({"backbone": "efficientnet_lite0"}, "base_channels.*efficientnet_lite0"),
        ({"fpn_min_level": 7}, "min_level=7"),
        ({"loss_weights": {"masks": 1.0}}, "loss_weights names .'masks'"),
        ({"mask": False, "loss_weights": {"mask_loss": 1.0}}, "loss_weights names .'mask_loss'"),
        ({"config_version": 99}, "config_version 99.*Upgrade"),
        ({"image_size": (1, 2, 3)}, "image_size"),
        ({"rpn_pre_nms_top_n": 1000}, "rpn_pre_nms_top_n"),
        ({"rpn_post_nms_top_n": (1, 2, 3)}, "rpn_post_nms_top_n"),
        ({"rpn_iou": (0.7, 0.3)}, "rpn_iou"),
        ({"rpn_iou": 0.5}, "rpn_iou"),
        ({"num_clases": 3}, "num_clases"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises((ValueError, TypeError), match=message):
        MaskRCNN(**{**ARGUMENTS, **arguments})
