"""The environment of the TF.js converter, which needs another TensorFlow than this package."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from mrcnn_tf.export.cache import cache_folder, made_once

VARIABLE = "MRCNN_TF_TFJS_ENV"
# The converter imports all of these, though it uses TensorFlow alone. The forests want exactly
# TensorFlow 2.19, ydf 0.13 another protobuf, and the hub imports what setuptools 81 left out.
_PACKAGES = (
    "tensorflowjs==4.22.0",
    "tensorflow==2.19.0",
    "tensorflow-decision-forests==1.12.0",
    "tensorflow-hub==0.16.1",
    "tf-keras==2.19.0",
    "keras<=3.15.1",
    "ydf<0.13",
    "setuptools<81",
    "jax<=0.10.2",
    "jaxlib<=0.10.2",
    "flax<=0.12.8",
)
_PYTHONS = ("3.12", "3.11", "3.10")  # those that TensorFlow 2.19 is built for


def converter_python() -> Path:
    """The Python of an environment that has the TF.js converter.

    It is the environment that `MRCNN_TF_TFJS_ENV` names, or one in the user's cache, which the
    first call makes: minutes and 3 GB, said in standard error.

    Raises:
        FileNotFoundError: `MRCNN_TF_TFJS_ENV` names no environment, or there is no Python that the
            converter can be installed for.
        OSError: the environment could not be made.
    """
    named = os.environ.get(VARIABLE)
    if named:
        python = _python_of(Path(named).absolute())
        if not python.is_file():
            raise FileNotFoundError(
                f"{VARIABLE}={named} is no Python environment, there is no {python}: make one with "
                f"pip install {shlex.join(_PACKAGES)}, or unset it to have one made."
            )
        return python
    version, interpreter = _interpreter()
    name = "-".join(requirement.replace("==", "-") for requirement in _PACKAGES[:2])
    return _python_of(
        made_once(cache_folder() / f"{name}-python-{version}", lambda new: _make(new, interpreter))
    )


def _python_of(environment: Path) -> Path:
    return environment / "bin" / "python"


def _interpreter() -> tuple[str, str]:
    """Version and path of a Python that the converter can be installed for."""
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    if own in _PYTHONS:
        return own, sys.executable
    for version in _PYTHONS:
        if found := shutil.which(f"python{version}"):
            return version, found
    raise FileNotFoundError(
        f"The TF.js converter cannot be installed for Python {own}, and there is no python of "
        f"version {', '.join(_PYTHONS)}: install one, or let {VARIABLE} name an environment "
        f"with {_PACKAGES[0]}."
    )


def _make(new: Path, interpreter: str) -> None:
    print(
        f"Installing the TF.js converter into {new.parent}: 3 GB and some minutes, this once",
        file=sys.stderr,
        flush=True,
    )
    # Not by its own pip: scripts hold the path of their environment, which is about to be renamed.
    pip = [str(_python_of(new)), "-I", "-m", "pip", "install", "--quiet", "--no-input"]
    _run([interpreter, "-m", "venv", str(new)])
    _run([*pip, "--disable-pip-version-check", *_PACKAGES])
    _run([str(_python_of(new)), "-I", "-c", "import tensorflowjs.converters"])


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if done.returncode:
        said = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        errors = [line for line in said if line.startswith("ERROR:")] or said[-1:]
        raise OSError(
            "The environment of the TF.js converter could not be made: "
            f"`{shlex.join(command)}` failed ({' '.join(errors)[:500]}). It needs a package index "
            f"once; without one, let {VARIABLE} name an environment with {_PACKAGES[0]}."
        )
