"""What tests of all rooms share."""

import os
from pathlib import Path

import numpy as np
import pytest


@pytest.hookimpl(optionalhook=True)  # there is no such hook without pytest-xdist
def pytest_xdist_make_scheduler(config, log):
    """Modules run side by side, as tests share what is made once; tests/export is one of them."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid):
            module = super()._split_scope(nodeid)
            return "tests/export" if module.startswith("tests/export/") else module

    return Scheduling(config, log)


@pytest.fixture(autouse=True)
def seeds():
    """Every test starts from the same random numbers, alone or in a run of many."""
    import keras

    keras.utils.set_random_seed(0)


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers that are the same in every run."""
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def compiled_ops():
    """Skips a test where the ops are not compiled; fails it if MRCNN_TF_REQUIRE_OPS=1."""
    from mrcnn_tf import ops

    status = ops.status()
    if not status["compiled"]:
        stop = pytest.fail if os.environ.get("MRCNN_TF_REQUIRE_OPS") == "1" else pytest.skip
        stop(f"needs the compiled ops: {status['reason']}")


@pytest.fixture(params=["plain", "compiled"])
def each_implementation(request):
    """Runs a test once with the plain and once with the compiled ops."""
    from mrcnn_tf import ops

    if request.param == "compiled":
        request.getfixturevalue("compiled_ops")
    with ops.implementation(request.param):
        yield request.param


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real data sets that MRCNN_TF_DATA names; skips the test where it is unset."""
    folder = os.environ.get("MRCNN_TF_DATA")
    if not folder:
        pytest.skip("MRCNN_TF_DATA, the folder with the real data sets, is not set")
    if not Path(folder).is_dir():
        pytest.skip(f"MRCNN_TF_DATA names {folder}, which is no folder")
    return Path(folder)
