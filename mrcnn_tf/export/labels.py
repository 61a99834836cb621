"""What the numbers of a model's answers stand for."""

import typing

import keras


def model_labels(model: keras.Model) -> dict[str, typing.Any]:
    """Names of classes and joints of a `MaskRCNN`, as they are written beside every exported model.

    Returns:
        `class_names` and `category_ids`, one a class; of a model with joints also
        `keypoint_names`, `keypoint_skeleton`, pairs of joints, and `keypoint_classes`, the classes
        that have joints.
    """
    labels = {"class_names": model.class_names, "category_ids": model.category_ids}
    if model.keypoints:
        labels["keypoint_names"] = model.keypoint_names
        labels["keypoint_skeleton"] = model.keypoint_skeleton
        every_class = list(range(model.num_classes))
        labels["keypoint_classes"] = model.keypoint_classes or every_class
    return labels
