"""The optimizer that a recipe describes."""

import keras

from mrcnn_tf.training.lars import LARS
from mrcnn_tf.training.recipe import Recipe
from mrcnn_tf.training.schedules import make_schedule
from mrcnn_tf.training.torch_sgd import TorchSGD

MOMENTUM = 0.9


def make_optimizer(recipe: Recipe, total_steps: int) -> keras.optimizers.Optimizer:
    """Build Keras's optimizer with the recipe's schedule, decay, clipping and moving average.

    Args:
        recipe: its fields from `optimizer` to `ema`, and `batch_size`, are read.
        total_steps: length of the run, at whose end a cosine schedule reaches zero.

    Returns:
        A Keras optimizer that decays kernels only.
    """
    options = {
        "learning_rate": make_schedule(recipe, total_steps),
        "global_clipnorm": recipe.clip_norm or None,
        "use_ema": recipe.ema > 0,
    }
    if recipe.ema > 0:
        options["ema_momentum"] = recipe.ema
    if recipe.optimizer == "torch_sgd":
        return TorchSGD(momentum=MOMENTUM, l2=recipe.weight_decay, **options)
    if recipe.optimizer == "lars":
        return LARS(momentum=MOMENTUM, l2=recipe.weight_decay, **options)
    if recipe.optimizer == "adamw":
        # AdamW takes no None.
        optimizer = keras.optimizers.AdamW(weight_decay=recipe.weight_decay, **options)
    else:
        decay = recipe.weight_decay or None
        optimizer = keras.optimizers.SGD(momentum=MOMENTUM, weight_decay=decay, **options)
    if recipe.weight_decay:
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer
