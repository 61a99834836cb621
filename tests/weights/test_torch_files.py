import builtins
import os
import pickle
import shutil
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from mrcnn_tf.weights.torch_files import STORAGE_DTYPES, read_state_dict, read_torch_file

GOLDEN = Path(__file__).parent.parent / "golden"
FORMATS = ["torch_zip.pth", "torch_legacy.pth"]


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


class Named:
    """Pickles as a global name, whether or not there is such a thing."""

    def __init__(self, module: str, name: str):
        self.module, self.name = module, name

    def __call__(self):
        raise AssertionError("pickle asks for a callable, but only its name is written")


class Pickler(pickle._Pickler):
    """Writes what PyTorch writes, without PyTorch: storages are ('storage', ...) tuples."""

    def persistent_id(self, value):
        return value if isinstance(value, tuple) and value[:1] == ("storage",) else None

    def save(self, value, save_persistent_id=True):
        if isinstance(value, Named):
            self.write(f"c{value.module}\n{value.name}\n".encode())
            return None
        return super().save(value, save_persistent_id)


def write_zip(path: Path, content, storages=(), **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        with archive.open("archive/data.pkl", "w") as file:
            Pickler(file, protocol=2).dump(content)
        for key, data in enumerate(storages):
            archive.writestr(f"archive/data/{key}", data)
        for name, data in members.items():
            archive.writestr(f"archive/{name}", data)
    return path


class Tensor:
    """Pickles as PyTorch's tensor of float32."""

    def __init__(self, elements, offset, shape, strides, storage_type="FloatStorage", key="0"):
        storage = ("storage", Named("torch", storage_type), key, "cpu", elements)
        self.arguments = (storage, offset, shape, strides, False, OrderedDict())

    def __reduce_ex__(self, protocol):
        return Named("torch._utils", "_rebuild_tensor_v2"), self.arguments


@pytest.mark.parametrize("name", FORMATS)
def test_what_pytorch_wrote(name):
    tensors = read_state_dict(GOLDEN / name)
    for dtype in ("float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8"):
        assert tensors[dtype].dtype == dtype
        np.testing.assert_array_equal(tensors[dtype], np.arange(5))
    assert tensors["bfloat16"].dtype == np.float32
    np.testing.assert_array_equal(tensors["bfloat16"], np.arange(5))
    np.testing.assert_array_equal(tensors["bool"], [True, False, True])
    base = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    np.testing.assert_array_equal(tensors["transposed"], base.transpose(2, 0, 1))
    np.testing.assert_array_equal(tensors["view"], base[1, 1:, ::2])
    np.testing.assert_array_equal(tensors["parameter"], np.full([2, 2], 0.5))
    assert tensors["empty"].shape == (0, 3)
    assert tensors["scalar"].shape == () and tensors["scalar"] == 7
    assert all(t.flags.c_contiguous and t.flags.writeable for t in tensors.values())
    assert len(tensors) == 15


def test_checkpoints_with_more_than_weights(tmp_path):
    data = np.arange(6, dtype=np.float32).tobytes()
    inner = OrderedDict(weight=Tensor(6, 0, (2, 3), (3, 1)))
    path = write_zip(tmp_path / "a.pth", {"model": inner, "epoch": 3}, [data], byteorder=b"little")
    assert read_torch_file(path)["epoch"] == 3
    assert list(read_state_dict(path)) == ["weight"]
    np.testing.assert_array_equal(read_state_dict(path)["weight"], [[0, 1, 2], [3, 4, 5]])

    for content, message in (
        ({"epoch": 3}, r"not a dictionary of tensors: epoch"),
        ([1, 2], "holds no dictionary of tensors"),
    ):
        path = write_zip(tmp_path / "b.pth", content)
        with pytest.raises(ValueError, match=message):
            read_state_dict(path)


@pytest.mark.parametrize(
    ("function", "arguments"),
    [(os.mkdir, ("ran",)), (builtins.eval, ("__import__('os').mkdir('ran')",))],
)
def test_code_is_refused_and_not_run(tmp_path, monkeypatch, function, arguments):
    monkeypatch.chdir(tmp_path)
    content = {"weight": Call(function, *arguments)}
    zipped = write_zip(tmp_path / "zip.pth", content)
    legacy = tmp_path / "legacy.pth"
    start = (GOLDEN / "torch_legacy.pth").read_bytes()
    legacy.write_bytes(start[: start.index(b"ccollections")] + pickle.dumps(content, 2)[2:])
    bare = tmp_path / "bare.pth"
    bare.write_bytes(pickle.dumps(content, 2))
    forbidden = f"{function.__module__}.{function.__name__}".replace("builtins", "__builtin__")
    for path in (zipped, legacy, bare):
        with pytest.raises(ValueError) as error:
            read_torch_file(path)
        assert str(path) in str(error.value) and forbidden in str(error.value)
    assert not (tmp_path / "ran").exists()
    # The same bytes do run under the ordinary unpickler: what was refused was not harmless.
    pickle.loads(bare.read_bytes())
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "name",
    ["torch.load", "torch._utils._rebuild_sparse_tensor", "collections.namedtuple", "os.open"],
)
def test_only_listed_names(tmp_path, name):
    path = write_zip(tmp_path / "a.pth", {"weight": Named(*name.rsplit(".", 1))})
    with pytest.raises(ValueError, match=f"refers to {name}"):
        read_torch_file(path)


@pytest.mark.parametrize("name", FORMATS)
def test_truncated_anywhere(tmp_path, name):
    whole = (GOLDEN / name).read_bytes()
    path = tmp_path / name
    # Behind the last storage of a zip stands only its directory, so every cut loses something.
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=str(path)):
            read_torch_file(path)
    path.write_bytes(whole[:-1])
    with pytest.raises(ValueError, match="truncated or damaged"):
        read_torch_file(path)


def test_other_files(tmp_path):
    path = tmp_path / "weights.pth"
    with pytest.raises(FileNotFoundError):
        read_torch_file(path)
    path.write_bytes(b"<html>404</html>")
    with pytest.raises(ValueError, match="not a PyTorch checkpoint"):
        read_torch_file(path)
    path.write_bytes(pickle.dumps({"a": 1}, 2))
    with pytest.raises(ValueError, match="cannot be read as a PyTorch checkpoint"):
        read_torch_file(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.weights.h5", b"")
    with pytest.raises(ValueError, match="torch.save did not write it"):
        read_torch_file(path)
    write_zip(path, {}, byteorder=b"big")
    with pytest.raises(ValueError, match="big-endian"):
        read_torch_file(path)
    # One changed byte of a storage fails the zip's checksum.
    shutil.copy(GOLDEN / "torch_zip.pth", path)
    data = bytearray(path.read_bytes())
    data[data.index(np.arange(5, dtype=np.float64).tobytes())] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="truncated or damaged"):
        read_torch_file(path)


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (Tensor(6, 1, (2, 3), (3, 1)), "outside its storage"),
        (Tensor(6, 0, (2, 3), (4, 1)), "outside its storage"),
        (Tensor(6, -1, (2, 3), (3, 1)), "outside its storage"),
        (Tensor(6, 5, (2,), (-3,)), "outside its storage"),
        (Tensor(6, 0, (10**9,), (0,)), "outside its storage"),
        (Tensor(6, 0, (2, 3), (1,)), "do not agree"),
        (Tensor(6, 0, (2, 2.5), (1, 1)), "do not agree"),
        (Tensor(7, 0, (7,), (1,)), "shorter than its 7 values"),
        (Tensor(6, 0, (6,), (1,), key="1"), "storage 1 is missing"),
        (Tensor(6, 0, (6,), (1,), "QUInt8Storage"), "torch.QUInt8Storage"),
    ],
)
def test_tensors_that_lie(tmp_path, tensor, message):
    path = write_zip(tmp_path / "a.pth", {"weight": tensor}, [bytes(24)])
    with pytest.raises(ValueError, match=message):
        read_torch_file(path)


def test_every_storage_type_is_little_endian():
    for name, dtype in STORAGE_DTYPES.items():
        assert dtype.newbyteorder("<") == dtype, name
