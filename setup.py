"""Builds the compiled ops and kernels with CMake; everything else stands in pyproject.toml."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "custom_ops" / "build_backend"))

from mrcnn_tf_build import find_tensorflow, skips_ops  # noqa: E402  the path is set above

LIBRARY = "mrcnn_tf/ops/libmrcnn_ops.so"  # for TensorFlow
MODULE = "mrcnn_tf.kernels"  # for NumPy
NOTICE = """
{line}
mrcnn-tf: the compiled ops were NOT built: {reason}.
The package works without them, in plain TensorFlow, which is slower. {remedy}
{line}
"""
REMEDY = """To have them,
see to a C++17 compiler (apt install g++) and install again. MRCNN_TF_REQUIRE_OPS=1 makes this an
error."""


class BuildOps(build_ext):
    """Compiles the op library and the module, or tells why it could not and goes on."""

    def get_ext_filename(self, fullname):
        """Of the library without the interpreter's name: TensorFlow opens it, not Python."""
        if fullname.endswith(MODULE.rpartition(".")[2]):
            return super().get_ext_filename(fullname)
        return os.path.join(*fullname.split(".")) + ".so"

    def build_extensions(self):
        """One run of CMake makes both."""
        built = [Path(self.get_ext_fullpath(ext.name)).resolve() for ext in self.extensions]
        for path in built:
            # What an earlier build left must not pass for the result of this one.
            path.unlink(missing_ok=True)
        if skips_ops():
            _tell("MRCNN_TF_SKIP_OPS=1 is set", "Unset it and install again to build them.")
            return
        try:
            _compile(next(path.parent for path in built if path.stem.startswith("kernels")))
        except (OSError, LookupError, subprocess.CalledProcessError) as error:
            if os.environ.get("MRCNN_TF_REQUIRE_OPS") == "1":
                raise
            failed = isinstance(error, subprocess.CalledProcessError)
            _tell("compiling failed, see the log (pip install -v)" if failed else error, REMEDY)

    def copy_extensions_to_source(self):
        """Puts what was built into the checkout, for an editable installation."""
        for ext in self.extensions:
            path = self.get_ext_filename(ext.name)
            built, target = Path(self.build_lib) / path, ROOT / path
            if not built.exists():
                target.unlink(missing_ok=True)
                continue
            # By renaming: a process that has the old library open keeps it intact.
            temporary = target.with_name(f"{os.getpid()}.{target.name}")
            shutil.copy(built, temporary)
            os.replace(temporary, target)

    def get_outputs(self):
        return [path for path in super().get_outputs() if Path(path).exists()]

    def get_output_mapping(self):
        built = super().get_output_mapping()
        return {path: source for path, source in built.items() if Path(source).exists()}


class PlatformWheel(bdist_wheel):
    """A wheel for one Python and platform, or for all if nothing was compiled."""

    def get_tag(self):
        # Asked once everything is laid out.
        self.root_is_pure = not (Path(self.bdist_dir) / LIBRARY).exists()
        return ("py3", "none", "any") if self.root_is_pure else super().get_tag()


def _compile(package: Path) -> None:
    tensorflow = find_tensorflow()
    if tensorflow is None:
        raise LookupError("there is no TensorFlow to build them for")
    if shutil.which("cmake") is None:
        raise LookupError("there is no cmake")
    package.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="mrcnn-tf-") as work:
        configure = [
            *("cmake", "-S", ROOT, "-B", work, "-DCMAKE_BUILD_TYPE=Release"),
            f"-DMRCNN_TENSORFLOW_DIR={tensorflow.locate_file('tensorflow')}",
            f"-DMRCNN_TENSORFLOW_VERSION={tensorflow.version}",
            f"-DMRCNN_PYTHON={sys.executable}",
            f"-DMRCNN_OUTPUT_DIR={package}",
            f"-DMRCNN_CUDA={os.environ.get('MRCNN_TF_CUDA', 'AUTO')}",
        ]
        if shutil.which("ninja"):
            configure += ["-G", "Ninja"]
        subprocess.run([str(word) for word in configure], check=True)
        jobs = str(os.cpu_count() or 1)
        subprocess.run(["cmake", "--build", work, "--parallel", jobs], check=True)


def _tell(reason: str | Exception, remedy: str) -> None:
    notice = NOTICE.format(line="*" * 78, reason=reason, remedy=remedy)
    print(notice, file=sys.stderr)
    # pip shows the output of a build only if it fails, so the terminal is told directly, if there
    # is one.
    with contextlib.suppress(OSError), open("/dev/tty", "w") as terminal:
        terminal.write(notice)


setup(
    ext_modules=[
        Extension("mrcnn_tf.ops.libmrcnn_ops", sources=[]),
        Extension("mrcnn_tf.ops.libmrcnn_litert", sources=[]),
        Extension(MODULE, sources=[]),
    ],
    cmdclass={"build_ext": BuildOps, "bdist_wheel": PlatformWheel},
)
