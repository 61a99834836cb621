"""Export formats by name."""

import os

import keras

from mrcnn_tf.export.saved_model import describe_saved_model, save_saved_model

# The first name is Keras's own.
FORMATS = {"tf_saved_model": save_saved_model, "saved_model": save_saved_model}


def export_model(
    model: keras.Model,
    filepath: str | os.PathLike,
    format: str = "tf_saved_model",
    verbose: bool | None = None,
    input_signature=None,
    **kwargs,
) -> None:
    """Write a model as an artifact for inference; `model.export` calls this.

    Args:
        model: a `MaskRCNN`.
        filepath: the folder to write.
        format: `"tf_saved_model"`, or `"saved_model"` for short.
        verbose: print what was written; Keras's default is True.
        input_signature: shape and dtype of `images`, see `save_saved_model`.
        **kwargs: `overwrite` and `size`, see `save_saved_model`.

    Raises:
        ValueError: a format or an input signature that is not available.
        TypeError: an argument that the format does not have.
        FileExistsError: there is something at `filepath` that must not be replaced.
    """
    check_format(format)
    unknown = sorted(set(kwargs) - {"overwrite", "size"})
    if unknown:
        raise TypeError(
            f"export to {format!r} has no argument {', '.join(unknown)}; besides Keras's own it "
            "has overwrite and size."
        )
    FORMATS[format](model, filepath, input_signature=input_signature, **kwargs)
    if verbose is None or verbose:
        print(f"{os.fspath(filepath)} is written. Signatures:\n{describe_saved_model(filepath)}")


def check_format(format: str) -> None:
    """Refuse a format that is not available.

    Raises:
        ValueError: see `export_model`.
    """
    if format not in FORMATS:
        raise ValueError(f"format={format!r} is not available; choose one of {', '.join(FORMATS)}.")
