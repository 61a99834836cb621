"""The optimizer that a recipe describes."""

import keras

from mrcnn_tf.training.recipe import Recipe

MOMENTUM = 0.9


def make_optimizer(recipe: Recipe, total_steps: int) -> keras.optimizers.Optimizer:
    """Build Keras's optimizer with the recipe's schedule, decay, clipping and moving average.

    Args:
        recipe: its fields from `optimizer` to `ema` are read.
        total_steps: length of the run, at whose end a cosine schedule reaches zero.

    Returns:
        A Keras optimizer that decays kernels only.
    """
    if recipe.schedule == "cosine":
        warmup = min(recipe.warmup_steps, total_steps - 1)
        learning_rate = keras.optimizers.schedules.CosineDecay(
            0.0 if warmup else recipe.learning_rate,
            total_steps - warmup,
            warmup_target=recipe.learning_rate if warmup else None,
            warmup_steps=warmup,
        )
    else:
        learning_rate = WarmUp(recipe.learning_rate, recipe.warmup_steps)
    options = {
        "learning_rate": learning_rate,
        "weight_decay": recipe.weight_decay or None,
        "global_clipnorm": recipe.clip_norm or None,
        "use_ema": recipe.ema > 0,
    }
    if recipe.ema > 0:
        options["ema_momentum"] = recipe.ema
    if recipe.optimizer == "adamw":
        options["weight_decay"] = recipe.weight_decay  # AdamW takes no None
        optimizer = keras.optimizers.AdamW(**options)
    else:
        optimizer = keras.optimizers.SGD(momentum=MOMENTUM, **options)
    if recipe.weight_decay:
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


@keras.saving.register_keras_serializable(package="mrcnn_tf")
class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """Grow linearly from zero to `learning_rate` over `warmup_steps`, then stay."""

    def __init__(self, learning_rate: float, warmup_steps: int):
        self.learning_rate = learning_rate
        self.warmup_steps = warmup_steps

    def __call__(self, step):
        part = (keras.ops.cast(step, "float32") + 1.0) / max(self.warmup_steps, 1)
        return self.learning_rate * keras.ops.minimum(part, 1.0)

    def get_config(self):
        return {"learning_rate": self.learning_rate, "warmup_steps": self.warmup_steps}
