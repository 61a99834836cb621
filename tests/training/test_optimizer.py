import keras
import numpy as np
import pytest

from mrcnn_tf.training import LARS, Recipe, TorchSGD, make_optimizer


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


def test_step_schedule_and_warm_up_are_detectron2s():
    recipe = Recipe(
        optimizer="torch_sgd",
        learning_rate=0.02,
        batch_size=8,
        reference_batch_size=16,
        warmup_steps=10,
        warmup_factor=0.001,
        schedule="step",
        decay_at=(0.6, 0.8),
    )
    optimizer = make_optimizer(recipe, 100)
    expected = [1e-5, 0.01 * (0.001 + 0.999 * 0.5), 0.01, 0.01, 1e-3, 1e-3, 1e-4]
    steps = [0, 5, 10, 59, 60, 79, 80]
    np.testing.assert_allclose(rates(optimizer, steps), expected, rtol=1e-6)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert rates(again, steps) == rates(optimizer, steps)
    assert isinstance(again, TorchSGD) and again.l2 == recipe.weight_decay


def moves(optimizer, gradients, kernel, bias):
    """The weights after every step, the same gradients for kernel and bias."""
    variables = [keras.Variable(kernel, name="kernel"), keras.Variable(bias, name="bias")]
    seen = []
    for gradient, bias_gradient in gradients:
        optimizer.apply([keras.ops.array(gradient), keras.ops.array(bias_gradient)], variables)
        seen.append([variable.numpy().copy() for variable in variables])
    return seen


@pytest.mark.parametrize("name", ["torch_sgd", "lars"])
def test_momentum_and_decay_follow_their_source(name):
    """Equal to the formulas of torch.optim.SGD and of You et al., with a changing rate."""
    rng = np.random.default_rng(0)
    kernel, bias = rng.normal(size=(4, 3)).astype("float32"), np.ones(3, "float32")
    gradients = [
        (rng.normal(size=(4, 3)).astype("float32"), rng.normal(size=3).astype("float32"))
        for _ in range(4)
    ]
    gradients[1] = (np.zeros((4, 3), "float32"), gradients[1][1])
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([1], [0.5, 0.05])
    kinds = {"torch_sgd": TorchSGD, "lars": LARS}
    found = moves(kinds[name](schedule, momentum=0.9, l2=0.01), gradients, kernel, bias)
    weights = [kernel.astype("float64"), bias.astype("float64")]
    buffers = [np.zeros((4, 3)), np.zeros(3)]
    for step, both in enumerate(gradients):
        rate = 0.5 if step <= 1 else 0.05
        for index, gradient in enumerate(both):
            weight, l2 = weights[index], (0.01, 0.0)[index]
            ratio = 1.0
            if name == "lars" and index == 0 and np.any(gradient):
                norms = np.linalg.norm(weight), np.linalg.norm(gradient)
                ratio = 0.001 * norms[0] / (norms[1] + l2 * norms[0])
            gradient = ratio * (gradient + l2 * weight)
            if name == "lars":
                buffers[index] = 0.9 * buffers[index] + rate * gradient
                weights[index] = weight - buffers[index]
            else:
                buffers[index] = 0.9 * buffers[index] + gradient
                weights[index] = weight - rate * buffers[index]
            np.testing.assert_allclose(found[step][index], weights[index], rtol=1e-5, atol=1e-6)


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
