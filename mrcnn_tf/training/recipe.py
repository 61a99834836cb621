"""How a model is trained: every number that is not the model's own, with its default."""

import ast
import dataclasses
import difflib
import inspect
import types
import typing

from mrcnn_tf.data.augmentation import Augmentation


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
        patience: measurements of AP without a better one after which the run ends; None never
            ends it early.
        mixed_precision: `"float16"`, with loss scaling, or `"bfloat16"` for convolutions and dense
            layers.
        freeze: sublayers that are not trained in this run, such as `("backbone", "fpn", "rpn")`.
        optimizer: `"adamw"`, `"sgd"`, `"torch_sgd"` (PyTorch's, as published recipes have it) or
            `"lars"`; momentum is 0.9.
        learning_rate: after the warm-up.
        reference_batch_size: batch size that `learning_rate` is meant for; with another one it
            changes in proportion. None: it does not.
        warmup_steps: steps over which the learning rate grows linearly.
        warmup_factor: factor on the learning rate at the beginning of the warm-up.
        schedule: `"cosine"` falls to zero at the last step, `"step"` by `decay_factor` at each of
            `decay_at`, `"constant"` not at all.
        decay_at: parts of the run, between 0 and 1, after which a `"step"` schedule falls.
        decay_factor: by which it falls.
        weight_decay: apart from the gradient with `"adamw"` and `"sgd"`, in the gradient with
            `"torch_sgd"` and `"lars"`; never on biases and norms.
        clip_norm: largest norm of the whole gradient; 0 turns clipping off.
        ema: momentum of the weights' moving average, which is evaluated and saved instead of the
            last weights; 0 turns it off.
        flip: mirror half of the images.
        vertical_flip: turn half of them upside down.
        transpose: swap the axes of half of them.
        scale_jitter: `(lowest, highest)` factor on the image size, drawn for each image.
        short_sides: short sides instead of the image size's, one of which is drawn for each image.
        pad_to: `(height, width)` that larger images are cut to; with `scale_jitter`, large scale
            jitter.
        crop: `(lowest, highest)` part of height and width that is cut out before resizing.
        rotation: largest angle in degrees, to either side.
        translation: largest shift in parts of width and height, to either side.
        brightness: largest change of a factor of 1.
        contrast: likewise.
        saturation: likewise.
        hue: largest change in parts of the colour circle.
        erasing: part of the images in which a rectangle is overwritten.
        copy_paste: part of the images that get objects of another one laid over them.
        mosaic: part of the images that are put together with three others.
        min_visible: objects of which crops and other objects leave less than this part are left
            out.
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
        stall_seconds: when nothing has moved for so long, a line says what is being waited for.
        tensorboard: write scalars, pictures and precision-recall curves for TensorBoard.
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
    patience: int | None = None
    mixed_precision: str | None = None
    freeze: tuple[str, ...] = ()
    optimizer: str = "adamw"
    learning_rate: float = 5e-4
    reference_batch_size: int | None = None
    warmup_steps: int = 50
    warmup_factor: float = 0.0
    schedule: str = "cosine"
    decay_at: tuple[float, ...] = ()
    decay_factor: float = 0.1
    weight_decay: float = 1e-4
    clip_norm: float = 10.0
    ema: float = 0.0
    flip: bool = True
    vertical_flip: bool = False
    transpose: bool = False
    scale_jitter: tuple[float, float] | None = None
    short_sides: tuple[int, ...] | None = None
    pad_to: tuple[int, int] | None = None
    crop: tuple[float, float] | None = None
    rotation: float = 0.0
    translation: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    erasing: float = 0.0
    copy_paste: float = 0.0
    mosaic: float = 0.0
    min_visible: float = 0.1
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
    stall_seconds: float = 60.0
    tensorboard: bool = False
    seed: int = 0

    def __post_init__(self):
        counts = ("batch_size", "accumulate", "epochs", "evaluate_every", "steps_per_call")
        lengths = ("steps", "steps_per_epoch", "steps_per_checkpoint")
        optional = (*lengths, "patience", "reference_batch_size")
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
            ("optimizer", ("adamw", "sgd", "torch_sgd", "lars")),
            ("schedule", ("cosine", "step", "constant")),
            ("mixed_precision", ("float16", "bfloat16", None)),
            ("weights", ("preset", None)),
        ):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is one of {known}; got {getattr(self, name)!r}.")
        for name in ("learning_rate", "stall_seconds"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive; got {getattr(self, name)}.")
        if not 0 <= self.warmup_factor <= 1:
            raise ValueError(f"warmup_factor is between 0 and 1; got {self.warmup_factor}.")
        if (self.schedule == "step") != bool(self.decay_at):
            raise ValueError(
                "decay_at says where schedule=step falls, and needs it; got "
                f"schedule={self.schedule} and decay_at={self.decay_at}."
            )
        if list(self.decay_at) != sorted(set(self.decay_at)) or not all(
            0 < part < 1 for part in self.decay_at
        ):
            raise ValueError(f"decay_at must rise between 0 and 1; got {self.decay_at}.")
        Augmentation(**self.augmentation)

    @property
    def augmentation(self) -> dict[str, typing.Any]:
        """The fields that are arguments of `mrcnn_tf.data.augmentation.Augmentation`."""
        names = [field.name for field in dataclasses.fields(Augmentation)]
        return {name: getattr(self, name) for name in names}


def parse_settings(
    settings: list[str],
    model_class: type,
    reserved: tuple[str, ...] = (),
    file_settings: list[tuple[str, str, typing.Any]] | None = None,
) -> tuple[Recipe, dict[str, typing.Any]]:
    """Turn `key=value` words, and the settings of a file, into a recipe and model arguments.

    Values are Python literals; a word that is none is a string. `seed` goes to both.

    Args:
        settings: words such as `"steps=500"`, `"anchor_sizes=(8,16,32,64,128)"`.
        model_class: its constructor's arguments are known keys too.
        reserved: constructor arguments that the data decides.
        file_settings: what `read_recipe` gives; the words go before it.

    Returns:
        The `Recipe` and a dict of constructor arguments.

    Raises:
        ValueError: a word without `=`, an unknown key (close ones are named), a reserved key,
            a value of another type. The message names the file that a setting is from.

    Example:

    >>> parse_settings(["steps=500", "fpn_channels=128"], MaskRCNN)[1]
    {'fpn_channels': 128}
    """
    recipe_hints = typing.get_type_hints(Recipe)
    model_hints = typing.get_type_hints(model_class.__init__)
    model_keys = set(inspect.signature(model_class).parameters) - {"kwargs", "config_version"}
    known = (recipe_hints.keys() | model_keys) - set(reserved)
    recipe_values, model_values = {}, {}
    for source, key, value in [*(file_settings or []), *map(_split, settings)]:
        where = f"{source}: " if source else ""
        if key in reserved:
            raise ValueError(f"{where}Setting {key!r} is decided by the data and can't be given.")
        if key not in known:
            close = difflib.get_close_matches(key, known)
            names = f"Did you mean {' or '.join(close)}? " if close else ""
            raise ValueError(
                f"{where}Setting {key!r} is not known. {names}Known: {', '.join(sorted(known))}."
            )
        if key in recipe_hints:
            recipe_values[key] = _checked(where, key, value, recipe_hints[key])
        if key in model_keys:
            model_values[key] = _checked(where, key, value, model_hints.get(key, typing.Any))
    return Recipe(**recipe_values), model_values


def _split(word: str) -> tuple[str, str, typing.Any]:
    key, equals, text = word.partition("=")
    if not equals:
        raise ValueError(f"Setting {word!r} is not of the form key=value.")
    return "", key, _literal(text)


def _literal(text: str):
    words = {"true": True, "false": False, "none": None, "null": None}
    if text.lower() in words:
        return words[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _checked(where: str, key: str, value, hint):
    is_union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    hints = typing.get_args(hint) if is_union else (hint,)
    kinds = tuple(typing.get_origin(kind) or kind for kind in hints)
    if isinstance(value, list):
        value = tuple(value)
    if typing.Any in kinds:
        return value
    if list in kinds and isinstance(value, tuple):
        return list(value)
    if float in kinds and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    wrong_bool = isinstance(value, bool) and bool not in kinds
    is_right = isinstance(value, kinds) and not wrong_bool
    if is_right and isinstance(value, tuple):
        is_right = _fits(value, hints[kinds.index(tuple)])
    if not is_right:
        names = " or ".join(
            "None" if kind is type(None) else str(kind) if typing.get_args(kind) else kind.__name__
            for kind in hints
        )
        raise ValueError(f"{where}Setting {key} takes {names}; got {value!r}.")
    return value


def _fits(values: tuple, hint) -> bool:
    """Whether a tuple has the length and the types of its hint; an int may stand for a float."""
    kinds = typing.get_args(hint)
    if kinds[-1] is Ellipsis:
        kinds = kinds[:1] * len(values)
    return len(values) == len(kinds) and all(
        isinstance(value, (int, float) if kind is float else kind) and not isinstance(value, bool)
        for value, kind in zip(values, kinds, strict=True)
    )
