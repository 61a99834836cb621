"""The choice between plain and compiled ops."""

import pytest
import tensorflow as tf

from mrcnn_tf.ops import OpsUnavailableError, implementation, loader, nms
from mrcnn_tf.ops.implementation import compiled_kernels


def ops_of(function) -> set[str]:
    return {operation.type for operation in function.get_concrete_function().graph.get_operations()}


def suppress():
    return nms(tf.ones([1, 3, 4]), tf.ones([1, 3]), tf.ones([1, 3], tf.int32), 0.5, 0.0, 2)


def test_read_when_traced(compiled_ops):
    default, plain = tf.function(suppress), tf.function(suppress)
    assert "MrcnnNms" in ops_of(default)
    with implementation("plain"):
        assert "MrcnnNms" not in ops_of(plain) and "NonMaxSuppressionV4" in ops_of(plain)
        assert "MrcnnNms" in ops_of(default)  # traced before
        with implementation("compiled"):
            assert "MrcnnNms" in ops_of(tf.function(suppress))
        assert "MrcnnNms" not in ops_of(tf.function(suppress))
    assert "MrcnnNms" in ops_of(tf.function(suppress))
    assert "MrcnnNms" not in ops_of(plain)


def test_kernels_on_numpy_arrays_follow_the_ops(compiled_ops, monkeypatch):
    assert compiled_kernels().__name__ == "mrcnn_tf.kernels"
    with implementation("plain"):
        assert compiled_kernels() is None
    monkeypatch.setattr(loader, "_outcome", loader._Outcome(None, None, "a reason"))
    monkeypatch.delenv("MRCNN_TF_REQUIRE_OPS", raising=False)
    assert compiled_kernels() is None


def test_restored_after_an_error(compiled_ops):
    with pytest.raises(KeyError), implementation("plain"):
        raise KeyError
    assert "MrcnnNms" in ops_of(tf.function(suppress))


def test_seen_by_other_threads():
    # tf.distribute traces each replica in a thread of its own.
    strategy = tf.distribute.MirroredStrategy(["/cpu:0"])
    with implementation("plain"):
        run = tf.function(lambda: strategy.run(suppress))
        assert "MrcnnNms" not in ops_of(run)


def test_wrong_names_and_missing_ops(monkeypatch):
    with pytest.raises(ValueError, match="implementation must be one of"), implementation("fast"):
        pass
    monkeypatch.setattr(loader, "_outcome", loader._Outcome(None, None, "a reason"))
    with pytest.raises(OpsUnavailableError, match="a reason"), implementation("compiled"):
        pass
