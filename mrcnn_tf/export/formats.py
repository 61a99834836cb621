"""Export formats by name."""

import importlib
import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass

import keras


@dataclass(frozen=True)
class Format:
    """How a format is written.

    Attributes:
        function: `module:name` of a function of a source, a path and keyword arguments, which
            writes the format and returns what there is to tell about it. The source is a model, a
            `.keras` file, a preset or, where the format is made from `portable_function`, a
            SavedModel written here.
        marker: see `check_target`.
    """

    function: str
    marker: str | None

    def load(self) -> Callable[..., str]:
        """The function; its module is imported now, and not before."""
        module, name = self.function.split(":")
        return getattr(importlib.import_module(f"mrcnn_tf.export.{module}"), name)


FORMATS = {
    "saved_model": Format("saved_model:save_saved_model", "saved_model.pb"),
    "litert": Format("litert:save_litert", None),
    "onnx": Format("onnx:save_onnx", None),
    "web": Format("web:save_web", "detector.json"),
    "tfjs": Format("tfjs:save_tfjs", "model.json"),
}
# Keras's name and ours.
_ALIASES = {"tf_saved_model": "saved_model"}


def check_format(format: str) -> Format:
    """The format of a name.

    Raises:
        ValueError: there is none.
    """
    found = FORMATS.get(_ALIASES.get(format, format))
    if found is None:
        raise ValueError(f"format={format!r} is not available; choose one of {', '.join(FORMATS)}.")
    return found


def format_arguments(format: str) -> tuple[str, ...]:
    """Names of the arguments that a format has besides source and path."""
    parameters = inspect.signature(check_format(format).load()).parameters.values()
    return tuple(p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY)


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
        filepath: the folder or the file to write.
        format: a name in `FORMATS`, or Keras's name `"tf_saved_model"`.
        verbose: print what was written; Keras's default is True.
        input_signature: of a SavedModel, see `save_saved_model`.
        **kwargs: arguments of the format, see the function that writes it.

    Raises:
        ValueError: a format that is not available, or an argument that does not fit.
        TypeError: an argument that the format does not have.
        FileExistsError: there is something at `filepath` that must not be replaced.
    """
    known = format_arguments(format)
    if input_signature is not None:
        kwargs["input_signature"] = input_signature
    unknown = sorted(set(kwargs) - set(known))
    if unknown:
        raise TypeError(
            f"export to {format!r} has no argument {', '.join(unknown)}; it has {', '.join(known)}."
        )
    description = check_format(format).load()(model, filepath, **kwargs)
    if verbose is None or verbose:
        print(description)
