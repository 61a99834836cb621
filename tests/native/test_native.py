"""Builds the native tests without sanitizers and runs a few of their random cases."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Path:
    """The compiled test program."""
    beside_python = Path(sys.executable).parent / "cmake"
    cmake = beside_python if beside_python.exists() else shutil.which("cmake")
    if cmake is None:
        pytest.skip("CMake is not installed: pip install cmake")
    build = tmp_path_factory.mktemp("native")
    for arguments in (
        ["-S", CHECKOUT, "-B", build, "-DMRCNN_TESTING=ON", "-DCMAKE_CXX_FLAGS_RELEASE=-O1"],
        ["--build", build, "--parallel", "2", "--target", "native_tests"],
    ):
        done = subprocess.run([cmake, *arguments], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    return build / "native_tests"


def test_kernels_equal_slow_references(program):
    done = subprocess.run([program, "--cases", "5000"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 failed" in done.stdout


def test_filter_that_fits_no_test_fails(program):
    done = subprocess.run([program, "--filter", "NoSuchTest"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "0 tests" in done.stdout


def test_unknown_argument_shows_usage(program):
    done = subprocess.run([program, "--bogus", "1"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "usage" in done.stderr
