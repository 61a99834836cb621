"""What has to hold for every layer, as one call."""

import json

import keras
import numpy as np
import tensorflow as tf


def flat_arrays(outputs) -> list[np.ndarray]:
    """Outputs of a layer as NumPy arrays, bfloat16 widened."""
    tensors = tf.nest.flatten(outputs)
    return [
        (tf.cast(t, tf.float32) if t.dtype == tf.bfloat16 else tf.convert_to_tensor(t)).numpy()
        for t in tensors
    ]


def check_layer(make, inputs: list, *, num_weights: int, mixed_dtypes: list[str]) -> None:
    """Run the checks that every layer has to pass.

    Args:
        make: builds the layer; takes `dtype` and other keyword arguments of a Keras layer.
        inputs: float32 call arguments.
        num_weights: weights that exist before any call.
        mixed_dtypes: dtypes of the flattened outputs under the policy `mixed_bfloat16`.
    """
    layer = make(name="probe")
    assert layer.built and layer.name == "probe"
    assert len(layer.weights) == num_weights
    outputs = flat_arrays(layer(*inputs))

    # The configuration survives JSON, and with the same weights gives the same outputs.
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(layer)))
    assert config["registered_name"].startswith("mrcnn_tf>")
    restored = keras.saving.deserialize_keras_object(config)
    assert restored.get_config() == layer.get_config()
    restored.set_weights(layer.get_weights())
    for first, second in zip(outputs, flat_arrays(restored(*inputs)), strict=True):
        np.testing.assert_array_equal(first, second)

    # A graph with unknown dimensions gives them too. Of pooled features `[B, N, h, w, C]` the grid
    # is known, of everything else the last dimension alone.
    def unknown(tensor):
        tensor = tf.convert_to_tensor(tensor)
        known = tensor.shape[-3 if tensor.shape.rank == 5 else -1 :].as_list()
        shape = [None] * (tensor.shape.rank - len(known)) + known
        return tf.TensorSpec(shape, tensor.dtype)

    signature = tf.nest.map_structure(unknown, inputs)
    traced = tf.function(lambda *args: layer(*args), input_signature=signature, autograph=False)
    for first, second in zip(outputs, flat_arrays(traced(*inputs)), strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-4)

    # Half precision, asked for by the layer's own policy or by Keras's global one.
    half = [
        make(dtype="mixed_bfloat16") if num_weights else make(),
        _under_global_policy("mixed_bfloat16", make),
    ]
    for mixed in half:
        mixed.set_weights(layer.get_weights())
        assert all(weight.dtype == "float32" for weight in mixed.weights)
        results = tf.nest.flatten(mixed(*inputs))
        assert [result.dtype.name for result in results] == mixed_dtypes
        for first, second in zip(outputs, flat_arrays(results), strict=True):
            tolerance = 0.05 * np.abs(first[np.isfinite(first)]).max(initial=1e-6)
            np.testing.assert_allclose(first, second, atol=tolerance)


def check_valid_rois(head, pooled) -> None:
    """In training, batch statistics of a head are of the valid RoIs, in inference of none.

    Args:
        head: has `"batch_norm"`.
        pooled: `[2, N, h, w, C]`; the first and the last two RoIs of each image are taken as valid.
    """
    is_valid = np.zeros(pooled.shape[:2], bool)
    is_valid[:, 0], is_valid[:, -2:] = True, True
    before = head.get_weights()
    by_moving_statistics = flat_arrays(head(pooled, is_valid))
    for first, second in zip(by_moving_statistics, flat_arrays(head(pooled)), strict=True):
        np.testing.assert_array_equal(first, second)
    for weight, expected in zip(head.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, expected)

    trained = []
    for rois, valid in ((pooled, is_valid), (pooled.numpy()[is_valid][None], None)):
        head.set_weights(before)
        outputs = flat_arrays(head(rois, valid, training=True))
        outputs = outputs if valid is None else [output[valid][None] for output in outputs]
        trained.append([*outputs, *head.get_weights()])
    for first, second in zip(*trained, strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-5)
    after = zip(head.weights, head.get_weights(), before, strict=True)
    moved = [weight.path for weight, value, old in after if np.any(value != old)]
    assert len(moved) == 2 * len(head.convs) and all("/norm/moving_" in path for path in moved)

    # Every weight of a normalisation learns.
    with tf.GradientTape() as tape:
        outputs = tf.nest.flatten(head(pooled, is_valid, training=True))
        loss = tf.add_n([tf.reduce_sum(output**2) for output in outputs])
    norms = [w for w in head.trainable_weights if "/norm/" in w.path]
    assert len(norms) == 2 * len(head.convs) > 0
    assert all(np.any(g) for g in tape.gradient(loss, [w.value for w in norms]))


def _under_global_policy(policy: str, make):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        return make()
    finally:
        keras.config.set_dtype_policy(before)
