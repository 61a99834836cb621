"""Reads pickles of NumPy arrays without running what is in them."""

import math
import os
import pickle
import re
from collections import OrderedDict
from functools import partial
from typing import Any

import numpy as np

from mrcnn_tf.weights.safe_unpickler import SafeUnpickler

NUMBER_TYPES = re.compile(r"[fiu][1248]|b1")


def read_array_pickle(path: str | os.PathLike) -> Any:
    """Reads a pickle of dictionaries, lists, numbers, strings and NumPy arrays of numbers.

    Detectron2's model zoo is of such files, `{"model": {name: array}, ...}`. A pickle is a
    program, so only the names that arrays and ordered dictionaries are made of are understood,
    and even they do not call NumPy: a file that asks for anything else is refused before
    anything happens. Python 2's pickles are read as well (their strings as latin-1).

    Args:
        path: The file.

    Returns:
        What was pickled, arrays writeable and in C order.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is no such pickle, is truncated or damaged, or refers to a Python
            name that is not needed for arrays.

    Example:
        >>> read_array_pickle("model_final_f10217.pkl")["model"]["backbone.fpn_output2.bias"].shape
        (256,)
    """
    path = os.fspath(path)
    try:
        with open(path, "rb") as file:
            if file.peek(1)[:1] != b"\x80":
                raise ValueError("it is not a pickle of protocol 2 or above")
            names = {
                ("collections", "OrderedDict"): OrderedDict,
                ("_codecs", "encode"): partial(_encode),
                ("__builtin__", "bytes"): partial(_no_bytes),
                ("numpy", "dtype"): partial(_DType),
                ("numpy", "ndarray"): "ndarray",
                # NumPy 2 has other names for its modules.
                ("numpy.core.multiarray", "_reconstruct"): partial(_Array),
                ("numpy._core.multiarray", "_reconstruct"): partial(_Array),
                ("numpy.core.numeric", "_frombuffer"): partial(_from_buffer),
                ("numpy._core.numeric", "_frombuffer"): partial(_from_buffer),
            }
            remedy = "a dictionary of NumPy arrays"
            unpickler = SafeUnpickler(file, names, "arrays", remedy, encoding="latin1")
            return _resolve(unpickler.load())
    except OSError:
        raise
    except (EOFError, pickle.UnpicklingError) as error:
        raise ValueError(
            f"{path} is truncated or damaged ({error}); download or copy it again"
        ) from error
    except Exception as error:
        raise ValueError(f"{path} cannot be read as a pickle of arrays: {error}") from error


class _DType:
    """Stands in for `numpy.dtype`, for numbers only."""

    def __init__(self, code: str, *_: Any):
        if not isinstance(code, str) or not NUMBER_TYPES.fullmatch(code):
            raise ValueError(f"it has an array of type {code!r}, and only numbers are read")
        self.code, self.order = code, "="

    def __setstate__(self, state: tuple) -> None:
        _, order, *details = state
        if order not in ("<", ">", "|", "="):
            raise ValueError(f"a byte order {order!r} is not known")
        if any(detail is not None for detail in details[:3]):
            raise ValueError("it has an array of records, and only numbers are read")
        self.order = order

    def numpy(self) -> np.dtype:
        return np.dtype(self.code).newbyteorder(self.order)


class _Array:
    """Stands in for an array that `_reconstruct` makes empty and a state fills."""

    def __init__(self, kind: str, *_: Any):
        if kind != "ndarray":
            raise ValueError(f"it has an array of kind {kind!r}, and only numpy.ndarray is read")
        self.values = None

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, is_fortran, data = state
        if isinstance(data, str):  # of Python 2
            data = data.encode("latin1")
        self.values = _values(data, dtype, shape, "F" if is_fortran else "C")


def _from_buffer(data: Any, dtype: Any, shape: tuple, order: str, *_: Any) -> _Array:
    array = _Array("ndarray")
    array.values = _values(data, dtype, shape, "F" if order == "F" else "C")
    return array


def _values(data: Any, dtype: Any, shape: tuple, order: str) -> np.ndarray:
    if not isinstance(data, bytes | bytearray) or not isinstance(dtype, _DType):
        raise ValueError("it has an array without numbers")
    if not isinstance(shape, tuple) or any(type(side) is not int or side < 0 for side in shape):
        raise ValueError(f"it has an array of shape {shape!r}")
    dtype = dtype.numpy()
    if len(data) != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"it has an array of shape {shape} in {len(data)} bytes")
    values = np.frombuffer(data, dtype).reshape(shape, order=order)
    return np.array(values, dtype.newbyteorder("="), order="C")


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """Python 3 writes bytes as text under protocol 2."""
    if encoding != "latin1":
        raise ValueError(f"it has bytes in the encoding {encoding!r}")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    return b""


def _resolve(content: Any) -> Any:
    """Puts the arrays in the place of what stands in for them."""
    if isinstance(content, _Array):
        if content.values is None:
            raise ValueError("it has an array without numbers")
        return content.values
    if isinstance(content, dict):
        return {key: _resolve(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return type(content)(_resolve(value) for value in content)
    return content
