"""Where an export is written: complete or not at all, and never over something else."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path


def check_target(target: str | os.PathLike, overwrite: bool, marker: str | None = None) -> None:
    """Refuse a path whose replacement would destroy something.

    Args:
        target: the file or the folder to write.
        overwrite: replace an export that stands there already.
        marker: the file by which a folder is known as an export of the same format; None for a
            format that is one file.

    Raises:
        FileExistsError: there is an export and `overwrite` is False, or there is anything else.
        ValueError: the path is not a local one.
    """
    if "://" in os.fspath(target):
        raise ValueError(f"{target} is not a local path: export to a local path and copy it.")
    target = Path(target)
    if marker is None:
        if target.is_dir():
            raise FileExistsError(f"{target} is a folder: give the name of a file.")
        is_export = target.exists()
    else:
        if not target.exists() or (target.is_dir() and not any(target.iterdir())):
            return
        is_export = (target / marker).is_file()
        if not is_export:
            raise FileExistsError(
                f"{target} exists and holds no {marker}, so it is no export of this format: remove "
                "it or choose another folder."
            )
    if is_export and not overwrite:
        raise FileExistsError(
            f"{target} already holds an export: choose another path, or overwrite it."
        )


@contextlib.contextmanager
def replacing(
    target: str | os.PathLike, overwrite: bool, marker: str | None = None
) -> Iterator[Path]:
    """A path to write to, which takes the place of `target` once everything is written.

    Folders above `target` are made. If the block raises, nothing has changed.

    Args:
        target: see `check_target`.
        overwrite: likewise.
        marker: likewise.

    Yields:
        A path of the same name, in a temporary folder beside `target`, at which there is nothing.

    Raises:
        FileExistsError: see `check_target`.
        ValueError: likewise.
    """
    check_target(target, overwrite, marker)
    target = Path(target).absolute()
    target.parent.mkdir(parents=True, exist_ok=True)
    # A path within the temporary folder: the latter is readable by its owner alone.
    staging = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        new = staging / "new" / target.name
        new.parent.mkdir()
        yield new
        _move(new, target, staging / "old")
    finally:
        shutil.rmtree(staging)


def _move(new: Path, target: Path, old: Path) -> None:
    """Put `new` in the place of `target`, and what was there in the place of `old`."""
    if target.exists():
        os.replace(target, old)
    try:
        os.replace(new, target)
    except BaseException:
        if old.exists():
            os.replace(old, target)
        raise
