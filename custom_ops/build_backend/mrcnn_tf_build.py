"""Build backend: setuptools, and TensorFlow as a requirement only where there is none.

The ops must be compiled against the TensorFlow that will run them. A build is isolated, so a
static requirement would download a second one, of perhaps another version.
"""

import os
import sysconfig
from importlib import metadata

from setuptools import build_meta
from setuptools.build_meta import *  # noqa: F403  the hooks that stay as they are

TENSORFLOW = "tensorflow>=2.20,<2.22"
DISTRIBUTIONS = ("tensorflow", "tensorflow-cpu", "tf-nightly", "tf-nightly-cpu")


def skips_ops() -> bool:
    """Whether the user asked for an installation without compiled ops."""
    return os.environ.get("MRCNN_TF_SKIP_OPS") == "1"


def find_tensorflow() -> metadata.Distribution | None:
    """The TensorFlow to build for: the target environment's, else the build environment's."""
    # Under build isolation these paths still belong to the environment that pip installs into.
    target = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    for options in ({"path": target}, {}):
        for name in DISTRIBUTIONS:
            found = next(iter(metadata.distributions(name=name, **options)), None)
            if found is not None:
                return found
    return None


def get_requires_for_build_wheel(config_settings=None):
    return build_meta.get_requires_for_build_wheel(config_settings) + _tensorflow()


def get_requires_for_build_editable(config_settings=None):
    return build_meta.get_requires_for_build_editable(config_settings) + _tensorflow()


def _tensorflow() -> list[str]:
    return [] if skips_ops() or find_tensorflow() is not None else [TENSORFLOW]
