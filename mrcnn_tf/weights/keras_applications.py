"""Weights of keras.applications, from Keras's own files."""

import os

import keras
import numpy as np

from mrcnn_tf.layers.keras_applications import KerasApplication, build_application, stable_names


def load_keras_application(backbone: KerasApplication, source: str | os.PathLike) -> None:
    """Loads the weights of a network of keras.applications into a backbone.

    Args:
        backbone: The backbone.
        source: `"imagenet"`, which Keras downloads once into its cache, or the path of an `.h5` or
            `.weights.h5` file of the network with `include_top=False`.

    Raises:
        FileNotFoundError: There is no such file.
        OSError: The download failed.
        ValueError: The file cannot be read, is of another network, or the backbone's `norm` has
            no such weights; nothing was loaded.
    """
    original = _imagenet(backbone) if source == "imagenet" else _from_file(backbone, source)
    layers = {name: layer for layer, name in stable_names(original).items()}
    assigned = []
    for part in (backbone.stem, *backbone.blocks):
        for layer in part.layers:
            theirs = layers[layer.name].get_weights() if layer.weights else []
            if len(theirs) != len(layer.weights):
                raise ValueError(
                    f"the weights of {backbone.application} are of a network with batch "
                    f"normalisation, and the backbone has norm={backbone.norm!r}; build it with "
                    "norm='frozen_batch_norm', 'batch_norm' or 'sync_batch_norm'"
                )
            # A depthwise kernel [h, w, C, 1] was [h, w, 1, C] as one of groups: the same numbers.
            assigned += [
                (weight, np.reshape(value, weight.shape))
                for weight, value in zip(layer.weights, theirs, strict=True)
            ]
    for weight, value in assigned:
        weight.assign(value)


def _imagenet(backbone: KerasApplication) -> keras.Model:
    name = backbone.application
    try:
        # The size on which it was trained; the weights do not depend on it.
        return build_application(name, weights="imagenet", input_shape=(224, 224, 3))
    except Exception as error:
        raise OSError(
            f"the ImageNet weights of {name} could not be downloaded by Keras ({error}); on a "
            f"machine that can, save them with keras.applications.{name}(include_top=False)"
            f".save_weights('{name}.weights.h5'), and give the path of this file instead of "
            "'imagenet'"
        ) from error


def _from_file(backbone: KerasApplication, path: str | os.PathLike) -> keras.Model:
    name, path = backbone.application, os.fspath(path)
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f"there is no file {path}; give 'imagenet', or an .h5 or .weights.h5 file of "
            f"keras.applications.{name}"
        )
    try:
        return build_application(name, weights=path)
    except Exception as error:
        raise ValueError(
            f"{path} does not hold the weights of keras.applications.{name} with "
            f"include_top=False: {error}"
        ) from error
