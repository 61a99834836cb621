"""Files of named arrays, mapped into memory and checked to be whole and current."""

from __future__ import annotations

import json
import os
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

_FORMAT = 1  # raised when what is stored changes
_ALIGNMENT = 64


def load_index(path: Path, stamp: list[int]) -> tuple[dict, dict[str, np.ndarray]] | None:
    """The head and the arrays of a file, mapped; None if it is absent, damaged or outdated.

    Args:
        path: a file that `store_index` wrote.
        stamp: of the file that it is about.
    """
    try:
        with open(path, "rb") as file:
            line = file.readline()
            head = json.loads(line)
            if head["format"] != _FORMAT or head["stamp"] != stamp:
                return None
            data = np.memmap(file, np.uint8, "r", offset=_aligned(len(line)))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if zlib.crc32(data) != head["checksum"]:
        return None
    arrays = {}
    for name, (dtype, shape, start, length) in head["arrays"].items():
        # a plain array on the mapping: views of a memmap would be slower to make
        part = data[start : start + length].view(np.ndarray)
        arrays[name] = part.view(dtype).reshape(shape)
    return head, arrays


def store_index(
    places: Sequence[Path], stamp: list[int], head: dict, arrays: dict[str, np.ndarray]
) -> tuple[dict, dict[str, np.ndarray]]:
    """Writes a head and arrays to the first place that can be written, and maps them from there.

    Where nothing can be written there is a warning, and they are given back as they came.

    Args:
        places: paths, the preferred first; folders are made.
        stamp: of the file that they are about.
        head: what JSON can hold.
        arrays: by name.
    """
    for place in places:
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            _write(place, stamp, head, arrays)
        except OSError as error:
            problem = error
            continue
        return load_index(place, stamp) or (head, arrays)
    warnings.warn(
        f"the index could not be stored as {places[0]} nor as {places[-1]} ({problem}), so it is "
        "made again every time: make one of the folders writable, or set KERAS_HOME to one",
        stacklevel=5,
    )
    return head, arrays


def _write(path: Path, stamp: list[int], head: dict, arrays: dict[str, np.ndarray]) -> None:
    checksum, end, layout = 0, 0, {}
    for name, values in arrays.items():
        content = _padded(values)
        layout[name] = [values.dtype.str, values.shape, end, values.nbytes]
        checksum, end = zlib.crc32(content, checksum), end + len(content)
    stated = {"format": _FORMAT, "stamp": stamp, "checksum": checksum, "arrays": layout}
    line = json.dumps({**head, **stated}).encode() + b"\n"
    temporary = path.with_name(f"{path.name}.{os.getpid()}.writing")
    try:
        with open(temporary, "wb") as file:
            file.write(line.ljust(_aligned(len(line)), b"\0"))
            for values in arrays.values():
                file.write(_padded(values))
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _padded(values: np.ndarray) -> bytes:
    return values.tobytes().ljust(_aligned(values.nbytes), b"\0")


def _aligned(length: int) -> int:
    return -(-length // _ALIGNMENT) * _ALIGNMENT
