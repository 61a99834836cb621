import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.models.tiny import LOSS_NAMES, check_detections, tiny_batch, tiny_model


def dataset(batches=2):
    elements = [tiny_batch(seed=seed) for seed in range(batches)]
    signature = tf.nest.map_structure(
        lambda t: tf.TensorSpec([None] * t.shape.rank, t.dtype), elements[0]
    )
    signature[0]["images"] = tf.TensorSpec([None, None, None, 3], tf.uint8)
    for name in ("boxes", "mask_boxes"):
        signature[1][name] = tf.TensorSpec([None, None, 4])
    signature[1]["mask_shapes"] = tf.TensorSpec([None, None, 2], tf.int32)
    signature[0]["image_sizes"] = tf.TensorSpec([None, 2], tf.int32)
    return tf.data.Dataset.from_generator(lambda: iter(elements), output_signature=signature)


def test_fit_evaluate_predict():
    model = tiny_model(frozen_stages=2, loss_weights={"mask_loss": 0.5})
    model.compile(optimizer=keras.optimizers.SGD(0.001, momentum=0.9))
    model.optimizer.build(model.trainable_variables)
    before = model.get_weights()
    optimizer_before = [variable.numpy() for variable in model.optimizer.variables]

    def train():
        return model.fit(dataset(), validation_data=dataset(), epochs=3, verbose=0).history

    history = train()
    names = ["loss", *LOSS_NAMES]
    assert set(history) == {*names, *(f"val_{name}" for name in names)}
    assert all(np.isfinite(values).all() and len(values) == 3 for values in history.values())
    for epoch in range(3):
        parts = {name: history[name][epoch] for name in LOSS_NAMES}
        parts["mask_loss"] *= 0.5
        assert history["loss"][epoch] == pytest.approx(sum(parts.values()), rel=1e-4)
    assert history["val_loss"][-1] < history["val_loss"][0]
    # The data ends unannounced after two batches; that is no third step.
    assert int(model.optimizer.iterations) == 6
    after = model.get_weights()
    trained = {id(weight) for weight in model.trainable_weights}
    for weight, old, new in zip(model.weights, before, after, strict=True):
        if id(weight) in trained:
            assert not np.array_equal(old, new), weight.path
        else:
            np.testing.assert_array_equal(old, new, err_msg=weight.path)
    assert 0 < len(trained) < len(before)

    evaluated = model.evaluate(dataset(), verbose=0, return_dict=True)
    assert evaluated == pytest.approx({n: history[f"val_{n}"][-1] for n in names}, rel=1e-4)
    found = model.predict(dataset(), verbose=0)
    assert found["boxes"].shape == (4, 12, 4) and found["masks"].shape == (4, 12, 28, 28)
    check_detections(found, [(64, 96)] * 4)

    # From the same start, training takes the same way to the last bit.
    model.set_weights(before)
    for variable, value in zip(model.optimizer.variables, optimizer_before, strict=True):
        variable.assign(value)
    assert train() == history
    for first, second in zip(after, model.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)


def test_gradients_are_added_in_pairs():
    """A sum of more than two in one op depends on which of them its thread may overwrite."""
    model = tiny_model()
    model.compile(optimizer=keras.optimizers.SGD(0.001))
    model.build_optimizer()
    batch = tiny_batch()

    @tf.function(autograph=False)
    def gradients():
        return model.compute_gradients(batch)[0]

    function = gradients.get_concrete_function()
    sums = [len(op.inputs) for op in function.graph.get_operations() if op.type == "AddN"]
    assert sums and max(sums) == 2
    model.reset_metrics()
    in_graph, eager = function(), model.compute_gradients(batch)[0]
    for variable, one, other in zip(model.trainable_variables, in_graph, eager, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5, err_msg=variable.path)
