import json
import os
import shutil

import pytest

from mrcnn_tf.export.cache import cache_folder
from mrcnn_tf.export.npm_packages import copy_npm_package, npm_packages

PACKAGES = {"@scope/left": "1.0.0", "right": "2.1.0"}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return cache_folder()


def npm_that(script, folder, monkeypatch):
    """Puts a program `npm` in front of all others."""
    folder.mkdir(exist_ok=True)
    (folder / "npm").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_packages_are_fetched_once(cache, tmp_path, monkeypatch):
    script = 'echo "$@" >> ../calls\nmkdir node_modules\ncp package.json node_modules/asked'
    npm_that(script, tmp_path / "bin", monkeypatch)
    found = npm_packages(PACKAGES)
    assert npm_packages(dict(reversed(PACKAGES.items()))) == found
    assert json.loads((found / "asked").read_text())["dependencies"] == PACKAGES
    [call] = (cache / "npm" / "calls").read_text().splitlines()
    assert call.startswith("install ") and "--ignore-scripts" in call
    other = npm_packages({"right": "2.1.1"})
    assert other != found and other.is_dir()


def test_without_npm_or_network(cache, tmp_path, monkeypatch):
    npm_that('echo "npm error network ENOTFOUND" >&2; exit 1', tmp_path / "bin", monkeypatch)
    with pytest.raises(OSError, match="could not fetch @scope/left@1.0.0.*ENOTFOUND.*copy /"):
        npm_packages(PACKAGES)
    assert not [path for path in (cache / "npm").iterdir() if path.is_dir()]
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="npm is needed to fetch .*install Node.js 18"):
        npm_packages(PACKAGES)


def test_files_are_copied_with_their_licence(tmp_path):
    source = tmp_path / "node_modules" / "@scope" / "left"
    (source / "dist").mkdir(parents=True)
    for name in ("a.js", "b.js", "c.wasm"):
        (source / "dist" / name).write_text(name)
    (source / "package.json").write_text('{"license": "Apache-2.0"}')

    def copy(*patterns):
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        return copy_npm_package(
            tmp_path / "node_modules", "@scope/left", patterns, tmp_path / "out"
        )

    assert copy("dist/*.js") == [tmp_path / "out/dist/a.js", tmp_path / "out/dist/b.js"]
    assert (tmp_path / "out/dist/b.js").read_text() == "b.js"
    assert "Apache License" in (tmp_path / "out/LICENSE").read_text()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "LICENSE",
        "dist",
        "package.json",
    ]
    (source / "LICENSE.md").write_text("all of it")
    copy("dist/c.wasm")
    assert (tmp_path / "out/LICENSE").read_text() == "all of it"
    with pytest.raises(FileNotFoundError, match="@scope/left has no file lib"):
        copy("dist/*.js", "lib/*.js")
    (source / "LICENSE.md").unlink()
    (source / "package.json").write_text('{"license": "Unknown-1.0"}')
    with pytest.raises(ValueError, match="names 'Unknown-1.0'"):
        copy("dist/*.js")
