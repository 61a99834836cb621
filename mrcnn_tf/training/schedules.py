"""Learning rates by step."""

import keras

from mrcnn_tf.training.recipe import Recipe


def make_schedule(
    recipe: Recipe, total_steps: int
) -> keras.optimizers.schedules.LearningRateSchedule:
    """The recipe's learning rate at every step, from the warm-up to the last step.

    Args:
        recipe: the fields from `learning_rate` to `decay_factor`, and `batch_size`, are read.
        total_steps: length of the run.

    Example:

    >>> schedule = make_schedule(Recipe(learning_rate=0.1, warmup_steps=10), 110)
    >>> float(schedule(60))
    0.05
    """
    peak = recipe.learning_rate
    if recipe.reference_batch_size:
        peak *= recipe.batch_size / recipe.reference_batch_size
    if recipe.schedule == "cosine":
        warmup = min(recipe.warmup_steps, total_steps - 1)
        return keras.optimizers.schedules.CosineDecay(
            peak * recipe.warmup_factor if warmup else peak,
            total_steps - warmup,
            warmup_target=peak if warmup else None,
            warmup_steps=warmup,
        )
    after = peak
    if recipe.schedule == "step":
        # Keras changes the value behind a boundary, the published schedules at it.
        boundaries = [round(part * total_steps) - 1 for part in recipe.decay_at]
        values = [peak * recipe.decay_factor**power for power in range(len(boundaries) + 1)]
        after = keras.optimizers.schedules.PiecewiseConstantDecay(boundaries, values)
    return WarmUp(after, recipe.warmup_steps, recipe.warmup_factor)


@keras.saving.register_keras_serializable(package="mrcnn_tf")
class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """Grow linearly to `learning_rate` over `warmup_steps`, then follow it.

    Args:
        learning_rate: a number, or a schedule, which counts its steps from the run's beginning.
        warmup_steps: length of the warm-up.
        warmup_factor: factor at the first step, as in torchvision and Detectron2; with 0 the first
            step has one of `warmup_steps` parts, so that no step is lost.
    """

    def __init__(self, learning_rate, warmup_steps: int, warmup_factor: float = 0.0):
        self.learning_rate = learning_rate
        self.warmup_steps = warmup_steps
        self.warmup_factor = warmup_factor

    def __call__(self, step):
        step = keras.ops.cast(step, "float32")
        rate = self.learning_rate(step) if callable(self.learning_rate) else self.learning_rate
        factor = self.warmup_factor
        done = (step if factor else step + 1.0) / max(self.warmup_steps, 1)
        if not self.warmup_steps:
            return keras.ops.convert_to_tensor(rate, "float32")
        return rate * (factor + (1.0 - factor) * keras.ops.minimum(done, 1.0))

    def get_config(self):
        rate = self.learning_rate
        if callable(rate):
            rate = keras.optimizers.schedules.serialize(rate)
        return {
            "learning_rate": rate,
            "warmup_steps": self.warmup_steps,
            "warmup_factor": self.warmup_factor,
        }

    @classmethod
    def from_config(cls, config):
        if isinstance(config["learning_rate"], dict):
            schedule = keras.optimizers.schedules.deserialize(config["learning_rate"])
            config = {**config, "learning_rate": schedule}
        return cls(**config)
