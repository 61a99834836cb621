"""Read a saved model."""

import json
import os
import typing
import zipfile

import keras


def load(path: str | os.PathLike, compile: bool = True) -> keras.Model:
    """Load a `.keras` file written by `model.save`.

    Nothing is downloaded: the file holds the architecture's numbers and all weights.

    Args:
        path: the file.
        compile: also restore the optimizer and its state, to train on.

    Returns:
        The model, e.g. a `MaskRCNN`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not a saved Keras model.

    Example:

    >>> model = mrcnn_tf.load("runs/nuclei/best.keras")
    >>> detections = model(image[None])
    """
    return keras.saving.load_model(_checked(path), compile=compile)


def saved_config(path: str | os.PathLike) -> dict[str, typing.Any]:
    """The constructor arguments of a saved model, without building it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not a saved Keras model.
    """
    with zipfile.ZipFile(_checked(path)) as file:
        return json.loads(file.read("config.json"))["config"]


def _checked(path: str | os.PathLike) -> str:
    path = os.fspath(path)
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f"No model file at {path!r}: give the .keras file of a saved model."
        )
    if not zipfile.is_zipfile(path):
        raise ValueError(
            f"{path!r} is not a whole .keras file (it is damaged, or of another format): save the "
            "model again with model.save('NAME.keras')."
        )
    return path
