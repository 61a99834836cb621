"""Programs that exports need beside Python's packages, kept between them."""

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path


def cache_folder() -> Path:
    """`mrcnn-tf` in `$XDG_CACHE_HOME`, which is `~/.cache` where it is not set."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "mrcnn-tf"


def made_once(folder: Path, make: Callable[[Path], None]) -> Path:
    """A folder that the first who needs it makes, and everybody else finds.

    It is made under another name and then renamed: what stands at `folder` is complete. Who comes
    while it is made waits for it. What a program that was killed has left behind is made anew.

    Args:
        folder: where it belongs; folders above it are made.
        make: writes a new folder at the path that it is given, at which there is nothing. What it
            writes must work at another place, too. If it raises, there is no folder.

    Returns:
        `folder`.

    Example:

    ```python
    made_once(cache_folder() / "tool-1.2", lambda new: shutil.unpack_archive("tool.zip", new))
    ```
    """
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.with_name(f".{folder.name}.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # which ends with this process, however it ends
        if not folder.is_dir():
            partial = folder.with_name(f".{folder.name}.partial")
            shutil.rmtree(partial, ignore_errors=True)
            try:
                make(partial)
                os.replace(partial, folder)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    return folder
