"""How a model is trained: every number that is not the model's own, with its default."""

import ast
import dataclasses
import inspect
import typing


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Settings of a training run; the defaults suit fine-tuning on a small data set.

    Args:
        preset: architecture, and with `weights="preset"` its weights: a name of
            `mrcnn_tf.weights.PRESETS` or a `.keras` file.
        weights: `"preset"`, or None to start from random numbers.
        batch_size: images per step, of all devices together.
        accumulate: parts in which the images of a step are computed one after the other, to save
            memory; it divides `batch_size`.
        epochs: passes over the data.
        steps: optimizer steps in all, rounded up to epochs of equal length; if given, it decides
            instead of `epochs`.
        steps_per_epoch: steps between two evaluations; one pass over the data if not given.
        evaluate_every: epochs between two evaluations of COCO AP; the last epoch always is.
        optimizer: `"adamw"` or `"sgd"` (momentum 0.9).
        learning_rate: after the warm-up.
        warmup_steps: steps over which the learning rate grows linearly from zero.
        schedule: `"cosine"` falls to zero at the last step, `"constant"` does not.
        weight_decay: decoupled from the gradient; never on biases and norms.
        clip_norm: largest norm of the whole gradient; 0 turns clipping off.
        ema: momentum of the weights' moving average, which is evaluated and saved instead of the
            last weights; 0 turns it off.
        flip: mirror half of the images.
        vertical_flip: turn half of them upside down.
        transpose: swap the axes of half of them.
        scale_jitter: `(lowest, highest)` factor on the image size, drawn for each image.
        max_objects: objects kept per image.
        cache: keep decoded images in memory.
        image_ids: train on these images only, or on the first so many.
        val_image_ids: evaluate on these images only, or on the first so many.
        keypoint_sigmas: for the AP of other joints than COCO's 17, one number a joint, see
            `mrcnn_tf.evaluation.coco_metrics`.
        strategy: devices and machines of the run: `"auto"`, `"none"`, `"mirrored"` or
            `"multi_worker"`, see `make_strategy`.
        steps_per_checkpoint: optimizer steps between two full states, from which a run can go on;
            None: one at the end of every epoch.
        checkpoints_kept: how many of the latest ones stay.
        deterministic: take ops that give the same bits in every run, where TensorFlow has slower
            ones.
        steps_per_call: steps that run before Python, and with it the callbacks, is asked again.
        seed: of weights, sampling, order and augmentation.

    Raises:
        ValueError: a value that no run can use.
    """

    preset: str = "maskrcnn_efficientnet_lite0_fpn"
    weights: str | None = "preset"
    batch_size: int = 4
    accumulate: int = 1
    epochs: int = 12
    steps: int | None = None
    steps_per_epoch: int | None = None
    evaluate_every: int = 1
    optimizer: str = "adamw"
    learning_rate: float = 5e-4
    warmup_steps: int = 50
    schedule: str = "cosine"
    weight_decay: float = 1e-4
    clip_norm: float = 10.0
    ema: float = 0.0
    flip: bool = True
    vertical_flip: bool = False
    transpose: bool = False
    scale_jitter: tuple[float, float] | None = None
    max_objects: int | None = None
    cache: bool = True
    image_ids: int | tuple[int, ...] | None = None
    val_image_ids: int | tuple[int, ...] | None = None
    keypoint_sigmas: tuple[float, ...] | None = None
    strategy: str = "auto"
    steps_per_checkpoint: int | None = None
    checkpoints_kept: int = 2
    deterministic: bool = False
    steps_per_call: int = 1
    seed: int = 0

    def __post_init__(self):
        counts = ("batch_size", "accumulate", "epochs", "evaluate_every", "steps_per_call")
        optional = ("steps", "steps_per_epoch", "steps_per_checkpoint")
        for name in (*counts, "checkpoints_kept", *optional):
            value = getattr(self, name)
            if value is None and name in optional:
                continue
            if value < 1:
                raise ValueError(f"{name} must be at least 1; got {value}.")
        if self.batch_size % self.accumulate:
            raise ValueError(
                f"accumulate={self.accumulate} does not divide batch_size={self.batch_size}."
            )
        for name, known in (
            ("strategy", ("auto", "none", "mirrored", "multi_worker")),
            ("optimizer", ("adamw", "sgd")),
            ("schedule", ("cosine", "constant")),
            ("weights", ("preset", None)),
        ):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is one of {known}; got {getattr(self, name)!r}.")
        if self.learning_rate <= 0:
            raise ValueError(f"learning_rate must be positive; got {self.learning_rate}.")


def parse_settings(
    settings: list[str], model_class: type, reserved: tuple[str, ...] = ()
) -> tuple[Recipe, dict[str, typing.Any]]:
    """Turn `key=value` words into a recipe and the model's constructor arguments.

    Values are Python literals; a word that is none is a string. `seed` goes to both.

    Args:
        settings: words such as `"steps=500"`, `"anchor_sizes=(8,16,32,64,128)"`.
        model_class: its constructor's arguments are known keys too.
        reserved: constructor arguments that the data decides.

    Returns:
        The `Recipe` and a dict of constructor arguments.

    Raises:
        ValueError: a word without `=`, an unknown key (close ones are named), a reserved key,
            a value of another type.

    Example:

    >>> parse_settings(["steps=500", "fpn_channels=128"], MaskRCNN)[1]
    {'fpn_channels': 128}
    """
    hints = typing.get_type_hints(Recipe)
    model_keys = set(inspect.signature(model_class).parameters) - {"kwargs", "config_version"}
    recipe_values, model_values = {}, {}
    for word in settings:
        key, equals, text = word.partition("=")
        if not equals:
            raise ValueError(f"Setting {word!r} is not of the form key=value.")
        if key in reserved:
            raise ValueError(f"Setting {key!r} is decided by the data and can't be given.")
        if key not in hints and key not in model_keys:
            known = sorted((hints.keys() | model_keys) - set(reserved))
            raise ValueError(f"Setting {key!r} is not known. Known: {', '.join(known)}.")
        value = _literal(text)
        if key in hints:
            recipe_values[key] = _checked(key, value, hints[key])
        if key in model_keys:
            model_values[key] = value
    return Recipe(**recipe_values), model_values


def _literal(text: str):
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _checked(key: str, value, hint):
    kinds = typing.get_args(hint) or (hint,)
    kinds = tuple(typing.get_origin(kind) or kind for kind in kinds)
    if isinstance(value, list):
        value = tuple(value)
    if float in kinds and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    wrong_bool = isinstance(value, bool) and bool not in kinds
    if wrong_bool or not isinstance(value, kinds):
        names = " or ".join("None" if kind is type(None) else kind.__name__ for kind in kinds)
        raise ValueError(f"Setting {key} takes {names}; got {value!r}.")
    return value
