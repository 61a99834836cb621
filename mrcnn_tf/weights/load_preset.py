"""Models from presets: architecture by name, weights copied where they fit."""

import typing

import keras

from mrcnn_tf.models.load import load
from mrcnn_tf.weights.backbone import load_backbone_weights
from mrcnn_tf.weights.presets import PRESETS


def model_from_preset(
    model_class: type[keras.Model], preset: str, load_weights: bool = True, **arguments: typing.Any
) -> keras.Model:
    """What `MaskRCNN.from_preset` does; see there.

    Args:
        model_class: the class to build.
        preset: a name of `PRESETS` or a `.keras` file.
        load_weights: copy the preset's weights.
        **arguments: constructor arguments that differ from the preset's; None is not one.

    Raises:
        ValueError: the preset is not known.
        FileNotFoundError: there is no such file.
    """
    arguments = {name: value for name, value in arguments.items() if value is not None}
    if preset.endswith(".keras"):
        return _from_file(model_class, preset, load_weights, arguments)
    if preset not in PRESETS:
        raise ValueError(
            f"Preset {preset!r} is not known. Known: {', '.join(PRESETS)}; or give the path of a "
            ".keras file."
        )
    model = model_class(**{**PRESETS[preset].arguments, **arguments})
    if load_weights:
        load_backbone_weights(model, PRESETS[preset].backbone_weights)
    return model


def _from_file(model_class, path: str, load_weights: bool, arguments: dict) -> keras.Model:
    source = load(path, compile=False)
    config = source.get_config()
    if "num_classes" in arguments and arguments["num_classes"] != config["num_classes"]:
        # Names and ids belong to the old classes.
        config.pop("class_names")
        config.pop("category_ids")
    model = model_class.from_config({**config, **arguments})
    if load_weights:
        left_out = copy_matching_weights(source, model)
        if left_out:
            print(
                f"{len(left_out)} weights start anew, since {path} has them in another shape or "
                f"not at all: {', '.join(left_out)}"
            )
    return model


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
