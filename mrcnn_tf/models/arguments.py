"""Checks of constructor arguments, with errors that name the argument."""

CONFIG_VERSION = 1


def check_labels(num_classes: int, class_names, category_ids) -> dict[str, list]:
    """Names and ids of the classes, made up where not given.

    Raises:
        ValueError: no class, another number of names or ids than classes, or an id twice.
    """
    if num_classes < 1:
        raise ValueError(f"num_classes must be at least 1 (without background); got {num_classes}.")
    names = list(class_names) if class_names else [f"class {i}" for i in range(num_classes)]
    ids = [int(i) for i in category_ids] if category_ids else list(range(1, num_classes + 1))
    for argument, values in (("class_names", names), ("category_ids", ids)):
        if len(values) != num_classes:
            raise ValueError(
                f"{argument} has {len(values)} entries, but num_classes is {num_classes}."
            )
    if len(set(ids)) != len(ids):
        raise ValueError(f"category_ids has an id twice: {ids}.")
    return {"class_names": names, "category_ids": ids}


def check_keypoints(
    keypoints: int, names, skeleton, classes, num_classes: int, rois_per_image: int | None = None
) -> dict[str, list | None]:
    """Names of the joints, made up where not given, the limbs, and the classes that have joints.

    Raises:
        ValueError: a negative number of joints, another number of names, a limb between joints
            or a class that there is not, no RoI to learn from.
    """
    if keypoints < 0:
        raise ValueError(f"keypoints must be a number of joints, or 0 for none; got {keypoints}.")
    if rois_per_image is not None and rois_per_image < 1:
        raise ValueError(f"keypoint_rois_per_image must be at least 1; got {rois_per_image}.")
    names = list(names) if names else [f"keypoint {i}" for i in range(keypoints)]
    if len(names) != keypoints:
        raise ValueError(f"keypoint_names has {len(names)} entries, but keypoints is {keypoints}.")
    skeleton = [[int(joint) for joint in pair] for pair in skeleton or ()]
    if not all(len(pair) == 2 and 0 <= min(pair) <= max(pair) < keypoints for pair in skeleton):
        raise ValueError(
            f"keypoint_skeleton must hold pairs of joints from 0 to {keypoints - 1}; got "
            f"{skeleton}."
        )
    if classes is not None:
        classes = [int(index) for index in classes]
        if not all(0 <= index < num_classes for index in classes):
            raise ValueError(
                f"keypoint_classes must be out of 0 to {num_classes - 1}; got {classes}."
            )
    return {
        "keypoint_names": names,
        "keypoint_skeleton": skeleton,
        "keypoint_classes": classes,
    }


def check_config_version(version: int) -> None:
    """Refuse a model file of a newer release, whose arguments may mean something else."""
    if version > CONFIG_VERSION:
        raise ValueError(
            f"The model was saved with config_version {version}; this release of mrcnn_tf reads "
            f"up to {CONFIG_VERSION}. Upgrade mrcnn_tf to load it."
        )


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Refuse what is none of the choices."""
    if value not in choices:
        raise ValueError(f"{name} is one of {', '.join(choices)}; got {value!r}.")


def check_head_norm(head_norm: str | None, has_convolutions: bool) -> None:
    """Refuse a normalisation that would be left out without a word."""
    if head_norm is not None and not has_convolutions:
        raise ValueError(
            f"head_norm={head_norm!r} has no convolution to follow; give box_conv, e.g. "
            "(256, 256, 256, 256), or leave head_norm out"
        )


def check_pair(name: str, value) -> tuple:
    """Two numbers as a tuple.

    Raises:
        ValueError: `value` is something else.
    """
    pair = tuple(value) if isinstance(value, (tuple, list)) else ()
    if len(pair) != 2:
        raise ValueError(f"{name} must be a pair of numbers; got {value!r}.")
    return pair
