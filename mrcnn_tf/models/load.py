"""Read a saved model."""

import os
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
    return keras.saving.load_model(path, compile=compile)
