"""Builds the compiled ops with CMake; everything else stands in pyproject.toml."""

import os
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "custom_ops" / "build_backend"))

from mrcnn_tf_build import find_tensorflow  # noqa: E402  the path is set above

NOTICE = """
{line}
mrcnn-tf: the compiled ops were NOT built: {reason}.
The package works without them, in plain TensorFlow, which is slower. It will say how to build them
when it is used; set MRCNN_TF_SKIP_OPS=1 to install without them on purpose.
{line}
"""


class BuildOps(build_ext):
    """Compiles the op library, or tells why it could not and goes on."""

    def get_ext_filename(self, fullname):
        # A library that TensorFlow opens, not a Python module: no interpreter in its name.
        return os.path.join(*fullname.split(".")) + ".so"

    def build_extension(self, ext):
        try:
            self._build(Path(self.get_ext_fullpath(ext.name)).resolve())
        except (OSError, LookupError, subprocess.CalledProcessError) as error:
            if os.environ.get("MRCNN_TF_REQUIRE_OPS") == "1":
                raise
            # pip shows the output of a build only if it fails; the terminal is asked directly.
            notice = NOTICE.format(line="*" * 78, reason=error)
            print(notice, file=sys.stderr)
            _tell_terminal(notice)

    def _build(self, library: Path) -> None:
        tensorflow = find_tensorflow()
        if tensorflow is None:
            raise LookupError("there is no TensorFlow to build them for")
        package = Path(tensorflow.locate_file("tensorflow"))
        work = Path(self.build_temp).resolve()
        work.mkdir(parents=True, exist_ok=True)
        library.parent.mkdir(parents=True, exist_ok=True)
        configure = [
            *("cmake", "-S", ROOT, "-B", work, "-DCMAKE_BUILD_TYPE=Release"),
            f"-DMRCNN_TENSORFLOW_DIR={package}",
            f"-DMRCNN_TENSORFLOW_VERSION={tensorflow.version}",
            f"-DMRCNN_OUTPUT_DIR={library.parent}",
        ]
        subprocess.run([str(word) for word in configure], check=True)
        jobs = str(os.cpu_count() or 1)
        subprocess.run(["cmake", "--build", str(work), "--parallel", jobs], check=True)


def _tell_terminal(text: str) -> None:
    try:
        with open("/dev/tty", "w") as terminal:
            terminal.write(text)
    except OSError:
        pass  # no terminal: the log has it


class PlatformWheel(bdist_wheel):
    """The library needs a platform and a TensorFlow, but no particular Python."""

    def get_tag(self):
        _, _, platform = super().get_tag()
        return ("py3", "none", platform)


OPS = (
    []
    if os.environ.get("MRCNN_TF_SKIP_OPS") == "1"
    else [Extension("mrcnn_tf.ops.libmrcnn_ops", sources=[], optional=True)]
)

setup(ext_modules=OPS, cmdclass={"build_ext": BuildOps, "bdist_wheel": PlatformWheel})
