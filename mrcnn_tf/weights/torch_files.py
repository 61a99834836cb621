"""Reads PyTorch checkpoints without PyTorch and without running what is in them."""

import math
import os
import struct
import zipfile
from collections import OrderedDict
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO

import ml_dtypes
import numpy as np

from mrcnn_tf.weights.safe_unpickler import SafeUnpickler

STORAGE_DTYPES = {
    "DoubleStorage": np.dtype("<f8"),
    "FloatStorage": np.dtype("<f4"),
    "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001


@dataclass(frozen=True)
class _Storage:
    key: str
    dtype: np.dtype
    elements: int


@dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def read(self, data: memoryview | bytes) -> np.ndarray:
        """The tensor's values, copied out of its storage."""
        flat = np.frombuffer(data, self.storage.dtype, self.storage.elements)
        numbers = (self.offset, *self.shape, *self.strides)
        if len(self.shape) != len(self.strides) or any(type(n) is not int for n in numbers):
            raise ValueError("a tensor's shape and strides do not agree")
        elements = math.prod(self.shape)
        last = self.offset + sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True))
        if min(numbers) < 0 or elements > flat.size or (elements and last >= flat.size):
            raise ValueError(f"a tensor of shape {self.shape} reaches outside its storage")
        strides = [s * flat.itemsize for s in self.strides]
        view = np.lib.stride_tricks.as_strided(flat[self.offset :], self.shape, strides)
        wide = np.float32 if self.storage.dtype == ml_dtypes.bfloat16 else self.storage.dtype
        return np.array(view, dtype=wide, order="C")


def read_torch_file(path: str | os.PathLike) -> Any:
    """Reads a `.pth` or `.pt` file that `torch.save` wrote, in its zip or its older format.

    A pickle is a program, so only the names that tensors and ordered dictionaries are made of
    are understood: a file that asks for anything else is refused before anything happens.

    Args:
        path: The file.

    Returns:
        What was saved, with NumPy arrays where it had tensors (bfloat16 becomes float32).

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is no PyTorch checkpoint, is truncated or damaged, or refers to a
            Python name that is not needed for tensors.

    Example:
        >>> weights = read_torch_file("resnet50-0676ba61.pth")
        >>> weights["conv1.weight"].shape
        (64, 3, 7, 7)
    """
    path = os.fspath(path)
    try:
        with open(path, "rb") as file:
            start = file.read(4)
            file.seek(0)
            if start.startswith(b"PK"):
                return _read_zip(file)
            if start.startswith(b"\x80"):
                return _read_legacy(file)
    except OSError:
        raise
    except (zipfile.BadZipFile, EOFError, struct.error) as error:
        raise ValueError(
            f"{path} is truncated or damaged ({error}); download or copy it again"
        ) from error
    except Exception as error:
        raise ValueError(f"{path} cannot be read as a PyTorch checkpoint: {error}") from error
    raise ValueError(f"{path} is not a PyTorch checkpoint (neither a zip file nor a pickle)")


def read_state_dict(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Reads the named tensors of a checkpoint, found at its top or under `model`, `state_dict`.

    Args:
        path: The file, see `read_torch_file`.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: As `read_torch_file`, or the file holds something else than named tensors.
    """
    return named_tensors(read_torch_file(path), path)


def named_tensors(content: Any, path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The named tensors in what a file holds, see `read_state_dict`."""
    for key in ("model", "state_dict"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not content:
        raise ValueError(f"{os.fspath(path)} holds no dictionary of tensors")
    strange = [str(k) for k, v in content.items() if not isinstance(v, np.ndarray)]
    if strange:
        raise ValueError(
            f"{os.fspath(path)} is not a dictionary of tensors: {', '.join(strange[:5])} are none"
        )
    return dict(content)


class _Unpickler(SafeUnpickler):
    """An unpickler whose only callables build descriptions of tensors."""

    def __init__(self, file: BinaryIO):
        names = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor"): partial(_rebuild_tensor),
            ("torch._utils", "_rebuild_tensor_v2"): partial(_rebuild_tensor),
            ("torch._utils", "_rebuild_parameter"): partial(_rebuild_parameter),
            **{("torch", name): name for name in STORAGE_DTYPES},
        }
        super().__init__(file, names, "tensors", "the bare state_dict()")

    def persistent_load(self, pid: Any) -> _Storage:
        kind, storage_type, key, _, elements, *views = pid
        if kind != "storage" or storage_type not in STORAGE_DTYPES or type(elements) is not int:
            raise ValueError(f"unknown kind of storage {pid!r}")
        if any(view is not None for view in views):
            raise ValueError("views of storages, of PyTorch before 0.4, are not supported")
        return _Storage(str(key), STORAGE_DTYPES[storage_type], elements)


def _rebuild_tensor(storage: _Storage, offset: int, shape: tuple, strides: tuple, *_: Any):
    if not isinstance(storage, _Storage):
        raise ValueError("a tensor without a storage")
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


def _rebuild_parameter(data: Any, *_: Any):
    return data


def _read_zip(file: BinaryIO) -> Any:
    with zipfile.ZipFile(file) as archive:
        names = set(archive.namelist())
        pickles = [n for n in names if n.endswith("/data.pkl") and n.count("/") == 1]
        if len(pickles) != 1:
            raise ValueError("the zip file holds no data.pkl, so torch.save did not write it")
        folder = pickles[0].removesuffix("data.pkl")
        if f"{folder}byteorder" in names and archive.read(f"{folder}byteorder") != b"little":
            raise ValueError("it was written on a big-endian machine")
        with archive.open(pickles[0]) as pickled:
            content = _Unpickler(pickled).load()

        def read(storage: _Storage) -> bytes:
            name = f"{folder}data/{storage.key}"
            if name not in names:
                raise EOFError(f"storage {storage.key} is missing")
            return archive.read(name)

        return _resolve(content, read, {})


def _read_legacy(file: BinaryIO) -> Any:
    for expected in (LEGACY_MAGIC, LEGACY_PROTOCOL):
        if _Unpickler(file).load() != expected:
            raise ValueError("it is a pickle, but torch.save did not write it")
    system = _Unpickler(file).load()
    if not system["little_endian"]:
        raise ValueError("it was written on a big-endian machine")
    unpickler = _Unpickler(file)
    content = unpickler.load()
    keys = _Unpickler(file).load()

    sizes = {}
    _resolve(content, lambda storage: sizes.setdefault(storage.key, storage), None)
    storages = {}
    for key in keys:
        (elements,) = struct.unpack("<q", file.read(8))
        storage = sizes.get(str(key))
        if storage is None or storage.elements != elements:
            raise ValueError(f"storage {key} has another size than its tensors say")
        storages[storage.key] = file.read(elements * storage.dtype.itemsize)
    return _resolve(content, lambda storage: storages.get(storage.key, b""), {})


def _resolve(content: Any, read: Any, cache: dict | None) -> Any:
    """Replaces tensor descriptions by arrays; `cache=None` only shows `read` every storage."""
    if isinstance(content, _Tensor):
        storage = content.storage
        if cache is None:
            return read(storage)
        if storage.key not in cache:
            cache[storage.key] = read(storage)
        if len(cache[storage.key]) < storage.elements * storage.dtype.itemsize:
            raise EOFError(f"storage {storage.key} is shorter than its {storage.elements} values")
        return content.read(cache[storage.key])
    if isinstance(content, dict):
        return {key: _resolve(value, read, cache) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return type(content)(_resolve(value, read, cache) for value in content)
    return content
