"""Models from presets: architecture by name, weights copied where they fit."""

import os
import typing

import keras

from mrcnn_tf.models.load import load, saved_config
from mrcnn_tf.weights.backbone import load_backbone_weights
from mrcnn_tf.weights.download import published_file
from mrcnn_tf.weights.presets import PRESETS


def preset_arguments(preset: str) -> dict[str, typing.Any]:
    """Constructor arguments of a preset, or of the model in a `.keras` file.

    Raises:
        ValueError: the preset is not known, or the file is not a saved Keras model.
        FileNotFoundError: there is no such file.

    Example:

    >>> preset_arguments("keypointrcnn_resnet50_fpn")["keypoints"]
    17
    """
    if preset in PRESETS:
        return dict(PRESETS[preset].arguments)
    _check_name(preset)
    return saved_config(preset)


def model_from_preset(
    model_class: type[keras.Model],
    preset: str,
    load_weights: bool = True,
    weights_file: str | os.PathLike | None = None,
    **arguments: typing.Any,
) -> keras.Model:
    """What `MaskRCNN.from_preset` does; see there.

    Args:
        model_class: the class to build.
        preset: a name of `PRESETS` or a `.keras` file.
        load_weights: copy the preset's weights.
        weights_file: a copy of a published detector's file, which is then not downloaded.
        **arguments: constructor arguments that differ from the preset's; None is not one.

    Raises:
        ValueError: the preset is not known, or of another class, or a file of weights is not the
            published one.
        FileNotFoundError: there is no such file.
        OSError: a download failed.
    """
    arguments = {name: value for name, value in arguments.items() if value is not None}
    _check_name(preset)
    entry = PRESETS.get(preset)
    detector = entry.detector if entry else None
    if weights_file is not None and not (detector and load_weights):
        raise ValueError(
            f"weights_file is a copy of the file of a published detector, and preset {preset!r} "
            f"with load_weights={load_weights} reads none. Presets with one: "
            + ", ".join(name for name in PRESETS if PRESETS[name].detector)
        )
    if entry is None:
        source = load(preset, compile=False)
        return _changed(model_class, source, preset, load_weights, arguments)
    if detector and load_weights:
        path = published_file(detector.file, weights_file, "give its path as weights_file")
        source = detector.importer(path, **entry.arguments)
        if not arguments and isinstance(source, model_class):
            return source
        return _changed(model_class, source, preset, load_weights, arguments)
    if detector:
        if not issubclass(detector.model_class, model_class):
            raise ValueError(
                f"{preset} is a {detector.model_class.__name__}, not a {model_class.__name__}."
            )
        model_class = detector.model_class
    model = model_class(**_overridden(entry.arguments, arguments))
    if load_weights:
        load_backbone_weights(model, entry.backbone_weights)
    return model


def _check_name(preset: str) -> None:
    if preset not in PRESETS and not preset.endswith(".keras"):
        raise ValueError(
            f"Preset {preset!r} is not known. Known: {', '.join(PRESETS)}; or give the path of a "
            ".keras file."
        )


def _changed(model_class, source, name: str, load_weights: bool, arguments: dict) -> keras.Model:
    """A model like `source` but for some arguments, with every weight that still fits."""
    if not isinstance(source, model_class):
        raise ValueError(f"{name} holds a {type(source).__name__}, not a {model_class.__name__}.")
    model = type(source).from_config(_overridden(source.get_config(), arguments))
    if load_weights:
        left_out = copy_matching_weights(source, model)
        if left_out:
            print(
                f"{len(left_out)} weights start anew, since {name} has them in another shape or "
                f"not at all: {', '.join(left_out)}"
            )
    return model


def _overridden(config: dict, arguments: dict) -> dict:
    config = dict(config)
    if arguments.get("num_classes", config.get("num_classes")) != config.get("num_classes"):
        # Names and ids belong to the old classes.
        config.pop("class_names", None)
        config.pop("category_ids", None)
        config.pop("keypoint_classes", None)
    if arguments.get("keypoints", config.get("keypoints")) != config.get("keypoints"):
        config.pop("keypoint_names", None)
        config.pop("keypoint_skeleton", None)
    return {**config, **arguments}


def copy_matching_weights(source: keras.Model, target: keras.Model) -> list[str]:
    """Copy every weight that both models have under one path and in one shape.

    Returns:
        The paths of the target's weights that were not copied, in the model's order.
    """
    values = {variable.path: variable for variable in source.weights}
    left_out = []
    for variable in target.weights:
        found = values.get(variable.path)
        if found is None or found.shape != variable.shape:
            left_out.append(variable.path)
        else:
            variable.assign(found)
    return left_out
