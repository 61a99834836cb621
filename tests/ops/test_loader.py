"""The loader: which library it opens, which it does not, and what it says."""

import shutil
import warnings

import pytest
import tensorflow as tf

from mrcnn_tf.ops import OpsUnavailableError, load, loader, nms, status


@pytest.fixture
def library(monkeypatch, tmp_path):
    """A library of its own for one test, with nothing tried yet."""
    monkeypatch.setattr(loader, "LIBRARY_PATH", tmp_path / "libmrcnn_ops.so")
    monkeypatch.setattr(loader, "_outcome", None)
    monkeypatch.delenv("MRCNN_TF_REQUIRE_OPS", raising=False)
    return loader.LIBRARY_PATH


def record(version: str) -> bytes:
    return b"\x7fELF...MRCNN_TF_BUILD_RECORD" + b'{"tensorflow": "%s"}\0...' % version.encode()


def test_another_tensorflow_warns_once_and_is_not_opened(library, monkeypatch):
    library.write_bytes(record("2.19.1"))
    monkeypatch.setattr(tf, "load_op_library", lambda _: pytest.fail("opened"))
    with pytest.warns(RuntimeWarning, match="was built for TensorFlow 2.19.1") as caught:
        assert load() is None
    assert loader.rebuild_command() in str(caught[0].message)
    assert "pip install" in loader.rebuild_command()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load() is None  # told once
        # The plain version does the work.
        indices, _ = nms(tf.ones([1, 1, 4]), tf.ones([1, 1]), tf.ones([1, 1]), 0.5, 0.0, 2)
    assert indices.shape == [1, 2]
    told = status()
    assert not told["compiled"] and told["built_for"] == "2.19.1"
    assert told["path"] == str(library) and tf.__version__ in told["reason"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "there is no"),
        (b"not a library", "does not tell which TensorFlow"),
        (b"MRCNN_TF_BUILD_RECORD{broken\0", "does not tell which TensorFlow"),
        (record(loader.running_tensorflow()), "cannot open"),
    ],
)
def test_requiring_ops_raises_instead(library, monkeypatch, content, reason):
    if content is not None:
        library.write_bytes(content)
    monkeypatch.setenv("MRCNN_TF_REQUIRE_OPS", "1")
    with pytest.raises(OpsUnavailableError, match=reason):
        load()
    with pytest.raises(OpsUnavailableError, match="pip install"):
        nms(tf.ones([1, 1, 4]), tf.ones([1, 1]), tf.ones([1, 1]), 0.5, 0.0, 2)
    assert reason in status()["reason"]  # status tells, and does not raise


def test_the_installed_library(compiled_ops):
    told = status()
    assert told["compiled"] and told["reason"] == ""
    assert told["built_for"] == loader.running_tensorflow() == tf.__version__
    assert loader.build_record(loader.LIBRARY_PATH)["compiler"]
    assert load() is load()


def test_record_of_a_copy(compiled_ops, tmp_path):
    copy = tmp_path / "moved.so"
    shutil.copy(loader.LIBRARY_PATH, copy)
    assert loader.build_record(copy) == loader.build_record(loader.LIBRARY_PATH)


def test_rebuild_command_names_the_checkout():
    assert " -e " in loader.rebuild_command()
