"""Unpickling by a list of names: a pickle is a program, and this one runs nothing unlisted."""

import pickle
from typing import Any, BinaryIO


class SafeUnpickler(pickle.Unpickler):
    """An unpickler that understands the names it is given and refuses a file with any other.

    Args:
        file: The pickle.
        names: Stands-in by (module, name). They must be harmless with any arguments, and be made
            anew for every file: a pickle can set attributes on what it is given.
        content: What the names are needed for, for the error.
        remedy: What to save instead, for the error.
        encoding: Of the strings that Python 2 wrote.

    Example:
        >>> SafeUnpickler(file, {("collections", "OrderedDict"): dict}, "weights", "a dict").load()
    """

    def __init__(
        self,
        file: BinaryIO,
        names: dict[tuple[str, str], Any],
        content: str,
        remedy: str,
        encoding: str = "utf-8",
    ):
        super().__init__(file, encoding=encoding)
        self._names, self._content, self._remedy = names, content, remedy

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._names:
            raise ValueError(
                f"it refers to {module}.{name}, which is not needed for {self._content} and could "
                f"run code; save {self._remedy} instead"
            )
        return self._names[module, name]
