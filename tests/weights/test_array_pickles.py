import os
import pickle
from collections import OrderedDict

import numpy as np
import pytest

from mrcnn_tf.weights.array_pickles import read_array_pickle


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


class State:
    """Pickles as an array with a made-up type and state."""

    def __init__(self, shape=(2,), dtype="<f4", data=bytes(8), kind=np.ndarray, code=None):
        reconstruct = np.zeros(1).__reduce__()[0]
        dtype = np.dtype(dtype) if code is None else Call(np.dtype, code, False, True)
        self.parts = (reconstruct, (kind, (0,), b"b"), (1, shape, dtype, False, data))

    def __reduce_ex__(self, protocol):
        return self.parts


class Python2Pickler(pickle._Pickler):
    """Writes text and bytes alike as Python 2's `str`."""

    dispatch = dict(pickle._Pickler.dispatch)

    def save_string(self, value):
        data = value if isinstance(value, bytes) else value.encode("latin1")
        self.write(pickle.BINSTRING + len(data).to_bytes(4, "little") + data)
        self.memoize(value)

    dispatch[bytes] = dispatch[str] = save_string


ARRAYS = OrderedDict(
    weight=np.arange(24, dtype=np.float32).reshape(2, 3, 4) - 5,
    fortran=np.asfortranarray(np.arange(6, dtype=np.float64).reshape(2, 3)),
    big=np.arange(5, dtype=">i4"),
    half=np.arange(3, dtype=np.float16),
    flags=np.array([True, False]),
    scalar=np.array(7),
    empty=np.zeros([0, 3], np.uint8),
)


def check(content):
    assert content["__author__"] == "model zoo" and content["steps"] == [1, (2, None)]
    assert list(content["model"]) == list(ARRAYS)
    for name, expected in ARRAYS.items():
        found = content["model"][name]
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == expected.dtype.newbyteorder("=") and found.shape == expected.shape
        assert found.flags.c_contiguous and found.flags.writeable


CONTENT = {"model": ARRAYS, "__author__": "model zoo", "steps": [1, (2, None)]}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_what_numpy_pickles(tmp_path, protocol):
    path = tmp_path / "model.pkl"
    data = pickle.dumps(CONTENT, protocol)
    path.write_bytes(data)
    check(read_array_pickle(path))
    if protocol < 4:  # the name of NumPy 1 for the same module, which later protocols measure
        path.write_bytes(data.replace(b"cnumpy._core.", b"cnumpy.core."))
        check(read_array_pickle(path))


def test_what_python_2_pickled(tmp_path):
    path = tmp_path / "model.pkl"
    with path.open("wb") as file:
        Python2Pickler(file, 2).dump(CONTENT)
    check(read_array_pickle(path))


@pytest.mark.parametrize("protocol", [2, 4])
def test_code_is_refused_and_not_run(tmp_path, monkeypatch, protocol):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps({"model": {"weight": Call(os.system, "mkdir ran")}}, protocol))
    with pytest.raises(ValueError) as error:
        read_array_pickle(path)
    assert str(path) in str(error.value)
    assert f"it refers to {os.system.__module__}.system, which is not needed" in str(error.value)
    assert not (tmp_path / "ran").exists()
    # The same bytes do run under the ordinary unpickler: what was refused was not harmless.
    pickle.loads(path.read_bytes())
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "name",
    [
        "builtins.eval",
        "__builtin__.getattr",
        "numpy.load",
        "numpy.core.multiarray.fromfile",
        "numpy.ndarray.tofile",
        "collections.namedtuple",
        "_codecs.lookup",
        "torch._utils._rebuild_tensor_v2",
    ],
)
def test_only_listed_names(tmp_path, name):
    module, leaf = name.rsplit(".", 1)
    path = tmp_path / "model.pkl"
    path.write_bytes(b"\x80\x02c" + f"{module}\n{leaf}\n.".encode())
    with pytest.raises(ValueError, match=f"refers to {name}, .* a dictionary of NumPy arrays"):
        read_array_pickle(path)


def test_truncated_anywhere(tmp_path):
    path = tmp_path / "model.pkl"
    for protocol in (2, 4):
        whole = pickle.dumps(CONTENT, protocol)
        for length in range(len(whole)):
            path.write_bytes(whole[:length])
            with pytest.raises(ValueError, match=str(path)) as error:
                read_array_pickle(path)
            if length > 1:
                assert "truncated or damaged" in str(error.value)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (State(shape=(3,)), r"shape \(3,\) in 8 bytes"),
        (State(shape=(-2,)), r"shape \(-2,\)"),
        (State(shape=(2.0,)), r"shape \(2.0,\)"),
        (State(shape=2), "shape 2"),
        (State(data=[1, 2]), "array without numbers"),
        (State(dtype="O"), "type 'O8'"),
        (State(dtype="S4"), "type 'S4'"),
        (State(dtype=[("a", "<f4")]), "type 'V4'"),
        (State(code="f4,f4"), "type 'f4,f4'"),
        (State(kind=np.dtype), "of kind"),
        (Call(np.ndarray, (2,)), "not callable"),
    ],
)
def test_arrays_that_lie(tmp_path, array, message):
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps({"weight": array}, 2))
    with pytest.raises(ValueError, match=f"{path} .*{message}"):
        read_array_pickle(path)


def test_other_files(tmp_path):
    path = tmp_path / "model.pkl"
    with pytest.raises(FileNotFoundError):
        read_array_pickle(path)
    for data in (b"", b"<html>404</html>", b"PK\x03\x04"):
        path.write_bytes(data)
        with pytest.raises(ValueError, match="not a pickle of protocol 2"):
            read_array_pickle(path)
    loop = {}
    loop["self"] = loop
    path.write_bytes(pickle.dumps(loop, 2))
    with pytest.raises(ValueError, match="recursion"):
        read_array_pickle(path)
