"""The JavaScript libraries of the web page, beside it."""

from __future__ import annotations

import json
from pathlib import Path

from mrcnn_tf.export.npm_packages import copy_npm_package, npm_packages
from mrcnn_tf.export.runtimes.tfjs import VERSION as TFJS

# Files of every package, by the engine that needs them. Of LiteRT.js's WebAssembly one is loaded:
# with threads, without, or for browsers without relaxed SIMD.
_FILES = {
    "litert": {
        "@litertjs/core@2.5.3": (
            "dist/index.js",
            "wasm/litert_wasm_internal.*",
            "wasm/litert_wasm_compat_internal.*",
            "wasm/litert_wasm_threaded_internal.*",
        ),
        "@litertjs/wasm-utils@2.5.3": ("dist/bundle.js",),
    },
    "tfjs": {
        f"@tensorflow/tfjs-core@{TFJS}": ("dist/tf-core.min.js",),
        f"@tensorflow/tfjs-converter@{TFJS}": ("dist/tf-converter.min.js",),
        f"@tensorflow/tfjs-backend-cpu@{TFJS}": ("dist/tf-backend-cpu.min.js",),
        f"@tensorflow/tfjs-backend-wasm@{TFJS}": ("dist/tf-backend-wasm.min.js", "dist/*.wasm"),
    },
}
# A browser resolves no names of packages, and import maps do not hold in workers.
_NAMED_IMPORT = '"@litertjs/wasm-utils"'
_PATH_IMPORT = '"../../litertjs-wasm-utils/dist/bundle.js"'
_NOTICE = "// Changed by mrcnn-tf: the import of @litertjs/wasm-utils is a path.\n"


def fetch_engine(engine: str) -> Path:
    """The folder `node_modules` with the packages of an engine, `"litert"` or `"tfjs"`.

    Raises:
        FileNotFoundError: see `npm_packages`.
        OSError: likewise.
    """
    return npm_packages(dict(spec.rsplit("@", 1) for spec in _FILES[engine]))


def copy_engine(engine: str, vendor: Path) -> None:
    """Copy the packages of an engine into a folder, each into one of its own with its licence.

    What a browser does not need is left out, and `README.txt` says where everything comes from.

    Args:
        engine: see `fetch_engine`.
        vendor: the folder.

    Raises:
        FileNotFoundError: see `npm_packages`.
        OSError: likewise.
        ValueError: a package is not what it was.
    """
    node_modules = fetch_engine(engine)
    lines = []
    for spec, patterns in _FILES[engine].items():
        package = spec.rsplit("@", 1)[0]
        folder = vendor / package.removeprefix("@").replace("/", "-")
        copy_npm_package(node_modules, package, patterns, folder)
        about = json.loads((folder / "package.json").read_text(encoding="utf-8"))
        lines.append(f"{folder.name}: npm {spec}, {about['license']}, see its LICENSE\n")
    if engine == "litert":
        _name_path(vendor / "litertjs-core" / "dist" / "index.js")
        lines.append("litertjs-core/dist/index.js is changed: see its first line\n")
    with (vendor / "README.txt").open("a", encoding="utf-8") as readme:
        readme.writelines(lines)


def _name_path(script: Path) -> None:
    text = script.read_text(encoding="utf-8")
    if text.count(_NAMED_IMPORT) != 1:
        raise ValueError(f"{script} does not import {_NAMED_IMPORT} once.")
    script.write_text(_NOTICE + text.replace(_NAMED_IMPORT, _PATH_IMPORT), encoding="utf-8")
