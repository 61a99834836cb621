import numpy as np
import pytest
import tensorflow as tf

from mrcnn_tf.export.runtimes import SavedModelRuntime

from ..conftest import blocks


def test_it_answers_as_the_model_does(tiny_model, exported):
    images, sizes = blocks(1, 96, 128), np.int32([[96, 128]])
    with SavedModelRuntime(exported) as run:
        assert run.size == (96, 128) and run.labels["class_names"] == tiny_model.class_names
        found = run(images, sizes)
        assert run.seconds > 0
    expected = tiny_model.predict(images, verbose=0)
    assert sorted(found) == sorted(expected) and found["num_detections"] > 0
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=1e-3)


def test_a_saved_model_of_something_else(tmp_path):
    tf.saved_model.save(tf.Module(), str(tmp_path))
    with pytest.raises(ValueError, match="has no signature 'portable'"):
        SavedModelRuntime(tmp_path)
