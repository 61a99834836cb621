"""The run behind `mrcnn-tf train`: a COCO folder in, a trained model out."""

import dataclasses
import os
import typing

import keras
import tensorflow as tf

from mrcnn_tf import replicas
from mrcnn_tf.data import CocoDataset, RecordDataset, coco, find_keypoints, find_split, open_split
from mrcnn_tf.data.faults import as_data_fault
from mrcnn_tf.evaluation import CocoEvaluation
from mrcnn_tf.models import MaskRCNN
from mrcnn_tf.training.callbacks import (
    LogEpochs,
    LogTimes,
    SaveLastAndBest,
    StopOnNonFiniteLoss,
    StopWithoutProgress,
)
from mrcnn_tf.training.checkpoints import Checkpoints, Restored, SaveCheckpoints
from mrcnn_tf.training.fit import fit
from mrcnn_tf.training.optimizer import make_optimizer
from mrcnn_tf.training.recipe import Recipe
from mrcnn_tf.training.recipe_file import write_recipe
from mrcnn_tf.training.report import WriteReport
from mrcnn_tf.training.run_folder import CHECKPOINTS, open_run
from mrcnn_tf.training.strategy import distribute, make_strategy
from mrcnn_tf.training.tensorboard import TensorBoardLog
from mrcnn_tf.weights import preset_arguments

# Attributes of a model that `Recipe.freeze` may name.
FREEZABLE = ("backbone", "fpn", "rpn", "box_head", "mask_head", "keypoint_head")


def build_model(
    dataset: CocoDataset | RecordDataset, recipe: Recipe, options: dict[str, typing.Any]
) -> MaskRCNN:
    """The recipe's model, with the data set's classes and, if it has `keypoints`, joints.

    Args:
        dataset: gives the number of classes, their names and ids, and which of them have joints.
        recipe: `preset`, `weights`, `mixed_precision`, `freeze` and `seed` are read.
        options: constructor arguments that differ from the preset's.

    Raises:
        ValueError: `freeze` names what is not a layer of the model.
    """
    keras.utils.set_random_seed(recipe.seed)
    if options.get("keypoints"):
        options = {
            "keypoint_names": dataset.keypoint_names,
            "keypoint_skeleton": dataset.keypoint_skeleton,
            "keypoint_classes": dataset.keypoint_classes,
            **options,
        }
    if recipe.mixed_precision:
        options = {"dtype": f"mixed_{recipe.mixed_precision}", **options}
    model = MaskRCNN.from_preset(
        recipe.preset,
        load_weights=recipe.weights is not None,
        num_classes=dataset.num_classes,
        class_names=dataset.class_names,
        category_ids=dataset.category_ids,
        **options,
    )
    parts = {name: getattr(model, name) for name in FREEZABLE if getattr(model, name, None)}
    for name in recipe.freeze:
        if name not in parts:
            raise ValueError(f"freeze names {name!r}; this model has {', '.join(parts)}.")
        parts[name].trainable = False
    return model


def train(
    data: str,
    train_split: str,
    val_split: str | None,
    out: str,
    recipe: Recipe | None = None,
    options: dict[str, typing.Any] | None = None,
    callbacks: list[keras.callbacks.Callback] | None = None,
    verbose: int | str = "auto",
    resume: bool = False,
    val_data: str | None = None,
) -> tuple[MaskRCNN, dict[str, list[float]]]:
    """Train on one split of a COCO folder and measure AP on another.

    If the options or the preset have `keypoints`, joints are learnt and measured beside boxes and
    masks; those of COCO's `instances_X.json` are read from the `person_keypoints_X.json` beside it.

    Under a strategy of several workers each of them calls this with the same arguments, and the
    first one writes.

    Writes into `out`: `recipe.yaml` (every setting, to start such a run again), `settings.json`
    (data, recipe and the whole model), `log.csv` (losses and AP by epoch), `times.csv` (where the
    time went), `model.keras` (the last state), `best.keras` (the highest mask AP, or box AP without
    masks), `report.html` (all of it for a person) and `checkpoints`, from which `resume` goes on.

    Args:
        data: folder with `annotations/STEM.json` and the images, or of records, see
            `mrcnn_tf.data.open_split`; `val_split` then needs `val_data`.
        train_split: stem of the annotation file to learn from.
        val_split: stem of the one to evaluate on; None leaves evaluation out.
        out: folder of the results; made if missing.
        recipe: how to train; `Recipe()` if not given.
        options: constructor arguments of the model.
        callbacks: more Keras callbacks, called after the built-in ones.
        verbose: as in `model.fit`.
        resume: go on with the run in `out`, to the same weights as if it had never stopped; without
            one there, start it.
        val_data: COCO folder of `val_split`, if it is not `data`.

    Returns:
        The trained model and its history, a list of values by name.

    Raises:
        FileNotFoundError, ValueError: the data cannot be used; the message says why.
        FileExistsError: there is a run in `out`, and `resume` is False.
        ValueError: the run in `out` was started with other settings.
        FloatingPointError: a loss is not finite.
    """
    recipe, options = recipe or Recipe(), dict(options or {})
    if recipe.patience and not val_split:
        raise ValueError("patience counts measurements of AP, and needs a split to evaluate on.")
    if recipe.deterministic:
        tf.config.experimental.enable_op_determinism()
        # It would join sums of two into sums of many, see `Detector.compute_gradients`.
        tf.config.optimizer.set_experimental_options({"arithmetic_optimization": False})
    strategy = make_strategy(recipe.strategy)
    options.setdefault("seed", recipe.seed)
    joints = preset_arguments(recipe.preset).get("keypoints")
    if joints:
        options.setdefault("keypoints", joints)
    val = find_split(val_data or data, val_split) if val_split else None
    dataset = open_split(
        data, train_split, image_ids=recipe.image_ids, keypoints=bool(options.get("keypoints"))
    )
    with strategy.scope():
        model = build_model(dataset, recipe, options)
    batch_size = recipe.batch_size // recipe.accumulate

    def part_of_batches(index: int, count: int) -> tf.data.Dataset:
        return coco(
            dataset,
            batch_size=batch_size // count,
            size=model.image_size,
            image_resize=model.image_resize,
            shuffle=True,
            **recipe.augmentation,
            pad_to=recipe.pad_to,
            max_objects=recipe.max_objects,
            keypoints=bool(model.keypoints),
            cache=recipe.cache,
            seed=recipe.seed,
            initial_step=int(model.optimizer.iterations.numpy()) * recipe.accumulate,
            shard=(index, count),
            repeat=True,
            drop_remainder=True,
        )

    steps_per_epoch = recipe.steps_per_epoch or max(len(dataset) // recipe.batch_size, 1)
    epochs = recipe.epochs
    if recipe.steps is not None:
        epochs = -(-recipe.steps // steps_per_epoch)
        steps_per_epoch = -(-recipe.steps // epochs)
    with strategy.scope():
        model.compile(optimizer=make_optimizer(recipe, epochs * steps_per_epoch))
    if replicas.worker(strategy).index == 0:
        settings = {
            "data": os.path.abspath(data),
            "train": train_split,
            "val": val_split,
            "val_data": os.path.abspath(val_data or data),
            "recipe": dataclasses.asdict(recipe),
            "model": model.get_config(),
        }
        open_run(out, settings, resume)
        write_recipe(os.path.join(out, "recipe.yaml"), recipe, options)
    checkpoints = Checkpoints(os.path.join(out, CHECKPOINTS), recipe.checkpoints_kept)
    restored = (checkpoints.restore(model) if resume else None) or Restored()
    examples = distribute(strategy, part_of_batches, batch_size)

    actions = [StopOnNonFiniteLoss()]
    if recipe.ema:
        actions.append(keras.callbacks.SwapEMAWeights(swap_on_epoch=True))
    evaluation = None
    if val:
        evaluation = CocoEvaluation(
            *val,
            image_ids=recipe.val_image_ids,
            every=recipe.evaluate_every,
            batch_size=batch_size // strategy.num_replicas_in_sync,
            max_detections=model.max_detections,
            keypoint_annotations=find_keypoints(val[1]) if model.keypoints else None,
            keypoint_sigmas=recipe.keypoint_sigmas,
        )
        actions.append(evaluation)
    monitor = "val_mask_ap" if model.mask else "val_box_ap"
    actions += [LogEpochs(os.path.join(out, "log.csv")), SaveLastAndBest(out, monitor)]
    if recipe.patience:
        actions.append(StopWithoutProgress(monitor, mode="max", patience=recipe.patience))
    actions.append(LogTimes(os.path.join(out, "times.csv")))
    actions.append(WriteReport(out, evaluation))
    if recipe.tensorboard:
        actions.append(TensorBoardLog(os.path.join(out, "tensorboard"), evaluation))
    actions += callbacks or []
    # Last, so that nothing is saved of which another callback says that it is broken.
    actions.append(SaveCheckpoints(checkpoints, recipe.steps_per_checkpoint, actions[:], restored))
    try:
        history = fit(
            model,
            examples,
            epochs=epochs,
            steps_per_epoch=steps_per_epoch,
            callbacks=actions,
            verbose=verbose,
            initial_epoch=restored.position.epoch,
            initial_step=restored.position.step,
            steps_per_call=recipe.steps_per_call,
            accumulate=recipe.accumulate,
            stall_seconds=recipe.stall_seconds,
        )
    except tf.errors.InvalidArgumentError as error:
        fault = as_data_fault(error)
        if fault is None:
            raise
        raise fault from None
    return model, history.history
