"""JavaScript libraries for exports: fetched once from npm, and copied with their licences."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from mrcnn_tf.export.cache import cache_folder, made_once

_TIMEOUT = 600  # seconds; a slow network fetches some tens of megabytes in that time
# Packages that name their licence without enclosing it get its text from here.
_LICENSE_TEXTS = Path(__file__).parent / "licenses"


def npm_packages(packages: Mapping[str, str]) -> Path:
    """The folder `node_modules` with npm packages and all that they depend on.

    They are fetched by the first call, without running any of their scripts, and found in the cache
    from then on. The folder is complete or not there, also when several processes make it at once.

    Args:
        packages: exact versions by name.

    Returns:
        The folder. It is shared: copy from it, and change nothing in it.

    Raises:
        FileNotFoundError: there is no npm, and the packages are not in the cache.
        OSError: npm could not fetch them.

    Example:

    >>> npm_packages({"@litertjs/core": "2.5.3"}) / "@litertjs/core"
    """
    wanted = json.dumps(dict(sorted(packages.items())))
    folder = cache_folder() / "npm" / hashlib.sha256(wanted.encode()).hexdigest()[:16]
    return made_once(folder, lambda new: _fetch(packages, new, folder)) / "node_modules"


def copy_npm_package(
    node_modules: Path, package: str, patterns: Iterable[str], target: Path
) -> list[Path]:
    """Copy files of a package, with its `package.json` and the text of its licence.

    Args:
        node_modules: see `npm_packages`.
        package: its name.
        patterns: the files, as glob patterns relative to the package's folder.
        target: the folder to copy to; files keep their paths relative to the package. The licence
            is `LICENSE` there.

    Returns:
        Paths of the copied files, without those two.

    Raises:
        FileNotFoundError: the package has no such file.
        ValueError: its licence is neither in it nor known here.
    """
    source = node_modules / package
    copied = []
    for pattern in patterns:
        found = sorted(path for path in source.glob(pattern) if path.is_file())
        if not found:
            raise FileNotFoundError(f"{package} has no file {pattern} in {source}.")
        copied += [_copy(path, target / path.relative_to(source)) for path in found]
    _copy(source / "package.json", target / "package.json")
    _copy(_license(source), target / "LICENSE")
    return copied


def _copy(source: Path, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copyfile(source, target))  # not its mode: some files of npm are executable


def _license(package: Path) -> Path:
    for path in sorted(package.iterdir()):
        if path.is_file() and path.name.lower().startswith(("license", "licence", "copying")):
            return path
    about = json.loads((package / "package.json").read_text(encoding="utf-8"))
    text = _LICENSE_TEXTS / f"{about.get('license')}.txt"
    if not text.is_file():
        raise ValueError(
            f"{package} encloses no licence and names {about.get('license')!r}, of which the text "
            f"is not in {_LICENSE_TEXTS}: it cannot be passed on."
        )
    return text


def _fetch(packages: Mapping[str, str], new: Path, folder: Path) -> None:
    specs = ", ".join(f"{name}@{version}" for name, version in packages.items())
    npm = shutil.which("npm")
    if npm is None:
        raise FileNotFoundError(
            f"npm is needed to fetch {specs}, and is not there: install Node.js 18 or newer, which "
            f"brings it, or copy {folder} from a machine that has it."
        )
    new.mkdir()
    about = {"private": True, "dependencies": dict(packages)}
    (new / "package.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    command = [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    remedy = (
        "check the network and npm's registry and proxy settings, or copy "
        f"{folder} from a machine where this works."
    )
    try:
        done = subprocess.run(
            command, cwd=new, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT
        )
    except subprocess.TimeoutExpired:
        raise OSError(f"npm could not fetch {specs} within {_TIMEOUT} s: {remedy}") from None
    if done.returncode:
        said = " ".join((done.stderr.strip() or done.stdout.strip()).split())[:500]
        raise OSError(f"npm could not fetch {specs} ({said}): {remedy}")
