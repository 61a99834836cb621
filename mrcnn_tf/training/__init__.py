"""Recipes, optimizers, callbacks, and the run that ties them together."""

from mrcnn_tf.training.callbacks import (
    LogEpochs,
    LogTimes,
    SaveLastAndBest,
    StopOnNonFiniteLoss,
    StopWithoutProgress,
    save_atomically,
)
from mrcnn_tf.training.checkpoints import Checkpoints, Position, Restored, SaveCheckpoints
from mrcnn_tf.training.fit import fit
from mrcnn_tf.training.lars import LARS
from mrcnn_tf.training.optimizer import make_optimizer
from mrcnn_tf.training.recipe import Recipe, parse_settings
from mrcnn_tf.training.recipe_file import list_recipes, read_recipe
from mrcnn_tf.training.report import WriteReport
from mrcnn_tf.training.schedules import WarmUp, make_schedule
from mrcnn_tf.training.strategy import distribute, make_strategy
from mrcnn_tf.training.tensorboard import TensorBoardLog
from mrcnn_tf.training.torch_sgd import TorchSGD
from mrcnn_tf.training.train import build_model, train

__all__ = [
    "Checkpoints",
    "LARS",
    "LogEpochs",
    "LogTimes",
    "Position",
    "Recipe",
    "Restored",
    "SaveCheckpoints",
    "SaveLastAndBest",
    "StopOnNonFiniteLoss",
    "StopWithoutProgress",
    "TensorBoardLog",
    "TorchSGD",
    "WarmUp",
    "WriteReport",
    "build_model",
    "distribute",
    "fit",
    "list_recipes",
    "make_optimizer",
    "make_schedule",
    "make_strategy",
    "parse_settings",
    "read_recipe",
    "save_atomically",
    "train",
]
