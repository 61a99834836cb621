import keras
import numpy as np
import pytest

from mrcnn_tf.training import Recipe, make_optimizer


def rates(optimizer, steps):
    schedule = optimizer._learning_rate
    return [float(schedule(step)) for step in steps]


def test_schedules():
    recipe = Recipe(learning_rate=0.1, warmup_steps=10)
    cosine = make_optimizer(recipe, 110)
    np.testing.assert_allclose(
        rates(cosine, [0, 5, 10, 60, 110]), [0.0, 0.05, 0.1, 0.05, 0.0], atol=1e-6
    )
    constant = make_optimizer(Recipe(learning_rate=0.1, warmup_steps=10, schedule="constant"), 110)
    np.testing.assert_allclose(rates(constant, [0, 4, 9, 100]), [0.01, 0.05, 0.1, 0.1], atol=1e-6)
    short = make_optimizer(recipe, 1)
    assert np.isfinite(rates(short, [0, 1])).all() and rates(short, [0])[0] > 0


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_decay_leaves_biases_and_norms_alone(name):
    optimizer = make_optimizer(
        Recipe(optimizer=name, learning_rate=0.1, warmup_steps=0, weight_decay=0.5), 10
    )
    layers = [keras.layers.Dense(2), keras.layers.BatchNormalization()]
    for layer in layers:
        layer.build((None, 2))
    variables = [variable for layer in layers for variable in layer.trainable_variables]
    for variable in variables:
        variable.assign(np.ones(variable.shape))
    optimizer.apply_gradients((np.zeros(v.shape, np.float32), v) for v in variables)
    after = {variable.name: float(np.ravel(variable)[0]) for variable in variables}
    assert after == {"kernel": pytest.approx(0.95), "bias": 1.0, "gamma": 1.0, "beta": 1.0}


def test_constant_schedule_survives_saving():
    optimizer = make_optimizer(Recipe(schedule="constant", warmup_steps=4, ema=0.9), 10)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert rates(again, [0, 2, 9]) == rates(optimizer, [0, 2, 9])
    assert again.use_ema and again.ema_momentum == 0.9
