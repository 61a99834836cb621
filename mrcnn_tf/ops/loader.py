"""Opens the library of compiled ops: exactly one, and only if it fits the running TensorFlow."""

import json
import os
import shlex
import sys
import warnings
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

LIBRARY_PATH = Path(__file__).with_name("libmrcnn_ops.so")

# The build writes this marker and a JSON object into the library's read-only data, so that a
# library and the record of what it was built for cannot be separated.
_RECORD_MARKER = b"MRCNN_TF_BUILD_RECORD"
_TENSORFLOW_DISTRIBUTIONS = ("tensorflow", "tensorflow-cpu", "tf-nightly", "tf-nightly-cpu")


class _Outcome(NamedTuple):
    module: ModuleType | None
    built_for: str | None
    reason: str


_outcome: _Outcome | None = None


class OpsUnavailableError(RuntimeError):
    """The compiled ops were demanded and cannot be used."""


def load(required: bool | None = None) -> ModuleType | None:
    """Loads the compiled ops into the running TensorFlow; later calls return the same module.

    The TensorFlow that the library was built for is compared with the running one *before* the
    library is opened: their C++ interfaces differ between releases. Where the library is missing
    or does not fit, one warning tells the command that rebuilds it, and the ops run in plain
    TensorFlow.

    Call this before loading a SavedModel that holds compiled ops.

    Args:
        required: raise instead of warning. By default the environment variable
            `MRCNN_TF_REQUIRE_OPS=1` decides.

    Returns:
        The module with the generated op functions, or None.

    Raises:
        OpsUnavailableError: the ops cannot be used and `required` holds.

    Example:

    ```python
    import mrcnn_tf

    mrcnn_tf.ops.load()
    mrcnn_tf.ops.status()  # {"compiled": True, "path": ..., "built_for": "2.21.0", ...}
    ```
    """
    global _outcome
    first_try = _outcome is None
    if _outcome is None:
        _outcome = _open(LIBRARY_PATH)
    if _outcome.module is None:
        if required is None:
            required = os.environ.get("MRCNN_TF_REQUIRE_OPS") == "1"
        message = (
            f"The compiled ops cannot be used: {_outcome.reason}. "
            f"Build them for this environment with:\n    {rebuild_command()}"
        )
        if required:
            raise OpsUnavailableError(message)
        if first_try:
            warnings.warn(
                f"{message}\nUntil then the ops run in plain TensorFlow, which is slower.",
                RuntimeWarning,
                stacklevel=2,
            )
    return _outcome.module


def status() -> dict[str, bool | str | None]:
    """Tells whether the compiled ops are in use, and if not, why.

    Returns:
        A dict of `compiled` (bool), `path` of the library (None where there is no such file),
        `built_for` (the TensorFlow version the library was built for, or None) and `reason`
        (empty where the ops are in use).
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        try:
            load(required=False)
        finally:
            outcome = _outcome
    return {
        "compiled": outcome.module is not None,
        "path": str(LIBRARY_PATH) if LIBRARY_PATH.exists() else None,
        "built_for": outcome.built_for,
        "reason": outcome.reason,
    }


def running_tensorflow() -> str:
    """The version of the installed TensorFlow, from the metadata of its distribution."""
    for name in _TENSORFLOW_DISTRIBUTIONS:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    import tensorflow as tf

    return tf.__version__


def build_record(path: Path) -> dict[str, str] | None:
    """Reads what a library was built for, without opening it as a library.

    Args:
        path: the library.

    Returns:
        The record that the build wrote (`tensorflow`, `compiler`), or None if there is none.
    """
    _, marker, rest = path.read_bytes().partition(_RECORD_MARKER)
    if not marker:
        return None
    try:
        return json.loads(rest.partition(b"\0")[0])
    except ValueError:
        return None


def rebuild_command() -> str:
    """The shell command that builds the ops anew for the running TensorFlow."""
    pip = f"{shlex.quote(sys.executable)} -m pip install --no-deps --force-reinstall"
    checkout = Path(__file__).resolve().parents[2]
    if (checkout / "CMakeLists.txt").exists() and (checkout / "custom_ops").is_dir():
        return f"{pip} -e {shlex.quote(str(checkout))}"
    try:
        source = metadata.distribution("mrcnn-tf").read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        source = None
    url = json.loads(source).get("url", "") if source else ""
    # A wheel brings the same library again; only a source folder is built anew.
    if url and not url.endswith(".whl"):
        return f"{pip} {shlex.quote(url.removeprefix('file://'))}"
    return f"{pip} --no-cache-dir --no-binary mrcnn-tf mrcnn-tf"


def _open(path: Path) -> _Outcome:
    if not path.exists():
        return _Outcome(None, None, f"there is no {path}")
    record = build_record(path)
    if record is None or "tensorflow" not in record:
        return _Outcome(None, None, f"{path} does not tell which TensorFlow it was built for")
    built_for = record["tensorflow"]
    running = running_tensorflow()
    if built_for != running:
        return _Outcome(
            None, built_for, f"{path} was built for TensorFlow {built_for}, this is {running}"
        )
    import tensorflow as tf

    try:
        module = tf.load_op_library(str(path))
    except (tf.errors.OpError, OSError, RuntimeError) as error:
        return _Outcome(None, built_for, f"TensorFlow {running} cannot open {path}: {error}")
    return _Outcome(module, built_for, "")
