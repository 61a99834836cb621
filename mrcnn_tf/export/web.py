"""A page that runs the model in the browser."""

from __future__ import annotations

import html
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import keras
from PIL import Image

from mrcnn_tf.export.litert import save_litert
from mrcnn_tf.export.litert_quantize import check_precision
from mrcnn_tf.export.portable import read_portable
from mrcnn_tf.export.target import check_target, replacing
from mrcnn_tf.export.tfjs import save_tfjs
from mrcnn_tf.export.tfjs_environment import converter_python
from mrcnn_tf.export.web_vendor import copy_engine, fetch_engine

MARKER = "detector.json"
_PAGE = Path(__file__).parent / "web_page"
_BROWSER_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")


def save_web(
    source: keras.Model | str | os.PathLike,
    filepath: str | os.PathLike,
    *,
    size: tuple[int, int] | None = None,
    precision: str = "float32",
    calibration: str | os.PathLike | Sequence[str | os.PathLike] | None = None,
    title: str | None = None,
    samples: Sequence[str | os.PathLike] = (),
    fallback: bool = False,
    overwrite: bool = True,
) -> str:
    """Write a static page that finds objects in pictures and in what the camera sees.

    The model is a `.tflite` file, run by LiteRT.js in WebAssembly in the browser of who opens the
    page. Any server of files serves the folder; nothing is fetched from elsewhere, and no picture
    leaves the browser. LiteRT.js is fetched from npm once and copied with its licences.

    Args:
        source: a `MaskRCNN`, a `.keras` file, a preset's name or a SavedModel written by `export`.
        filepath: the folder to write; missing parents are made.
        size: height and width of the model's canvas in pixels, see `portable_function`; default:
            the model's `image_size`. Pictures are shrunk to fit it.
        precision: of the model, see `save_litert`: a smaller file is there sooner.
        calibration: likewise.
        title: of the page; default: the name of the folder.
        samples: pictures that the page offers as examples.
        fallback: add the model for TF.js, too, which runs it where LiteRT.js does not start, as in
            browsers without SIMD in WebAssembly. Its weights are float32 at any precision.
        overwrite: replace a page that stands there already.

    Returns:
        What there is to tell: how the page is opened.

    Raises:
        FileExistsError: see `check_target`.
        FileNotFoundError: there is no such source or sample, or see `npm_packages`, and
            `converter_python` if there is to be a fallback.
        ModuleNotFoundError: see `save_litert`.
        OSError: likewise.
        RuntimeError: see `save_tfjs`.
        ValueError: see `save_litert`, or a sample is no picture that browsers can show.

    Example:

    ```python
    model.export("site", format="web", title="Nuclei", samples=["val/0001.png"])
    ```
    """
    check_target(filepath, overwrite, MARKER)
    check_precision(precision, calibration)
    samples = [Path(sample) for sample in samples]
    for sample in samples:
        _check_sample(sample)
    engines = [{"name": "litert", "model": "model.tflite"}]
    if fallback:
        engines.append({"name": "tfjs", "model": "tfjs/model.json"})
    for engine in engines:
        fetch_engine(engine["name"])  # without npm there is no need to convert
    if fallback:
        converter_python()
    portable = read_portable(source, size)
    title = title or Path(filepath).absolute().name
    with replacing(filepath, overwrite, MARKER) as folder:
        shutil.copytree(_PAGE, folder)
        _set_title(folder / "index.html", title)
        (folder / "vendor").mkdir()
        for engine in engines:
            copy_engine(engine["name"], folder / "vendor")
        save_litert(portable, folder / "model.tflite", precision=precision, calibration=calibration)
        if fallback:
            save_tfjs(portable, folder / "tfjs")
        about = {
            "title": title,
            "size": portable.size,
            "labels": portable.labels,
            "engines": engines,
            "samples": _copy_samples(samples, folder),
        }
        text = json.dumps(about, indent=1, ensure_ascii=False) + "\n"
        (folder / MARKER).write_text(text, encoding="utf-8")
        sizes = [f"{_megabytes(folder, 'model.tflite')} MB"]
        if fallback:
            sizes.append(f"one of {_megabytes(folder, 'tfjs/*')} MB where LiteRT.js does not start")
    return (
        f"{os.fspath(filepath)} is written: a page with a model of {', '.join(sizes)}, for "
        f"pictures on a canvas of {portable.size[1]} x {portable.size[0]} px. To see it:\n"
        f"  python -m http.server --directory {os.fspath(filepath)} 8000\n"
        "  and open http://localhost:8000"
    )


def _megabytes(folder: Path, pattern: str) -> str:
    return f"{sum(path.stat().st_size for path in folder.glob(pattern)) / 1e6:.1f}"


def _check_sample(sample: Path) -> None:
    if not sample.is_file():
        raise FileNotFoundError(f"There is no file {sample} to show as an example.")
    try:
        with Image.open(sample) as image:
            found = image.format
    except OSError:
        found = None
    if found not in _BROWSER_FORMATS:
        raise ValueError(
            f"{sample} is {found or 'no picture'}: examples have to be of a kind that browsers "
            f"show, {', '.join(_BROWSER_FORMATS)}."
        )


def _copy_samples(samples: list[Path], folder: Path) -> list[dict[str, str]]:
    copied = []
    for i, sample in enumerate(samples):
        # A name that needs no escaping in an address, and is there once.
        name = f"samples/{i + 1}{sample.suffix.lower()}"
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(sample, folder / name)
        copied.append({"file": name, "name": sample.name})
    return copied


def _set_title(page: Path, title: str) -> None:
    text = page.read_text(encoding="utf-8")
    page.write_text(text.replace(">Detector<", f">{html.escape(title)}<"), encoding="utf-8")
