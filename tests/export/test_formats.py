import keras
import pytest
import tensorflow as tf

from mrcnn_tf.export import images_spec


def test_export_names_what_is_available(tmp_path, tiny_model):
    with pytest.raises(ValueError, match="'pdf' is not available; choose one of saved_model"):
        tiny_model.export(tmp_path / "model", format="pdf")
    with pytest.raises(
        TypeError, match="no argument opset_version; it has input_signature, size, masks, "
    ):
        tiny_model.export(tmp_path / "model", opset_version=17)
    with pytest.raises(ValueError, match="gs://bucket/model is not a local path"):
        tiny_model.export("gs://bucket/model")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "signature",
    [
        tf.TensorSpec([1, 800, 1333, 3], tf.float32),
        [keras.InputSpec(shape=(1, 800, 1333, 3), dtype="float32")],
        {"images": tf.TensorSpec([1, 800, 1333, None], tf.float32)},
    ],
)
def test_input_signature_takes_the_forms_of_keras(signature):
    assert images_spec(signature) == tf.TensorSpec([1, 800, 1333, 3], tf.float32, name="images")


@pytest.mark.parametrize(
    "signature",
    [
        tf.TensorSpec([800, 1333, 3], tf.uint8),
        tf.TensorSpec([None, 800, 1333, 1], tf.uint8),
        tf.TensorSpec([None, 800, 1333, 3], tf.int32),
        tf.TensorSpec(None, tf.uint8),
        [tf.TensorSpec([None, None, None, 3])] * 2,
        {"pixels": tf.TensorSpec([None, None, None, 3])},
    ],
)
def test_input_signature_that_does_not_fit(signature):
    with pytest.raises(ValueError, match="input_signature"):
        images_spec(signature)


def test_input_spec_without_dtype_is_uint8():
    spec = images_spec(keras.InputSpec(shape=(None, None, None, 3)))
    assert spec == images_spec() == tf.TensorSpec([None, None, None, 3], tf.uint8, name="images")
