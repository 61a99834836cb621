"""Recipes, optimizers, callbacks, and the run that ties them together."""

from mrcnn_tf.training.callbacks import (
    LogEpochs,
    SaveLastAndBest,
    StopOnNonFiniteLoss,
    save_atomically,
)
from mrcnn_tf.training.checkpoints import Checkpoints, Position, Restored, SaveCheckpoints
from mrcnn_tf.training.fit import fit
from mrcnn_tf.training.optimizer import WarmUp, make_optimizer
from mrcnn_tf.training.recipe import Recipe, parse_settings
from mrcnn_tf.training.strategy import distribute, make_strategy
from mrcnn_tf.training.train import build_model, train

__all__ = [
    "Checkpoints",
    "LogEpochs",
    "Position",
    "Recipe",
    "Restored",
    "SaveCheckpoints",
    "SaveLastAndBest",
    "StopOnNonFiniteLoss",
    "WarmUp",
    "build_model",
    "distribute",
    "fit",
    "make_optimizer",
    "make_strategy",
    "parse_settings",
    "save_atomically",
    "train",
]
