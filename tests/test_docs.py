"""What the documentation says is there, and what it shows runs."""

import dataclasses
import importlib
import inspect
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mrcnn_tf import MaskRCNN
from mrcnn_tf.cli.main import VERBS, main
from mrcnn_tf.data import CocoDataset, find_split, shapes
from mrcnn_tf.training import Recipe, list_recipes, parse_settings, read_recipe
from mrcnn_tf.weights import PRESETS
from tests.models.tiny import tiny_model

ROOT = Path(__file__).resolve().parent.parent
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + DOCS
TEXTS = {page: page.read_text(encoding="utf-8") for page in PAGES}

MARKED_BLOCK = re.compile(r"^<!-- test -->\n```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
REPOSITORY_PATH = re.compile(r"`((?:mrcnn_tf|tests|scripts|custom_ops|docs|\.ci)/[\w./]*)`")
COMMAND = re.compile(r"^(?: {4})?mrcnn-tf (.+)$", re.MULTILINE)
TABLE_ROW = re.compile(r"^\| `(\w+)` \| `([^`]+)` \|", re.MULTILINE)
DECIDED_BY_DATA = ("num_classes", "class_names", "category_ids")

# Models of a few thousand weights stand in for the presets, so that a page takes seconds.
PRELUDE = """
import mrcnn_tf.weights.load_preset as load_preset
from tests.models.tiny import ARGUMENTS
load_preset.PRESETS = {
    name: preset._replace(arguments=ARGUMENTS | {"mask": preset.arguments.get("mask", True)})
    for name, preset in load_preset.PRESETS.items()
}
load_preset.load_backbone_weights = lambda *_: None
"""
SHORTER = {"epochs=12": "epochs=1"}
# Pages that trace a training, an evaluation or an export: above 20 s each on two busy cores.
SLOW = ("README.md", "evaluation.md", "export.md", "model.md", "training.md")


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_and_paths_exist(page):
    missing = []
    for link in LINK.findall(TEXTS[page]):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target.read_text())):
            missing.append(link)
    paths = [path for path in REPOSITORY_PATH.findall(TEXTS[page]) if "NAME" not in path]
    missing += [path for path in paths if not (ROOT / path).exists()]
    assert not missing


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """What the examples take for granted: a COCO folder `photos`, `photo.jpg`, `model.keras`."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("docs")
    for stem in ("train", "val"):
        shapes.generate(folder / "photos", 4, stem=stem, image_size=96, max_objects=4)
    dataset = CocoDataset(*find_split(folder / "photos", "train"))
    Image.open(dataset.path(1)).save(folder / "photo.jpg")
    model = tiny_model(
        num_classes=dataset.num_classes,
        class_names=dataset.class_names,
        category_ids=dataset.category_ids,
    )
    model.save(folder / "model.keras")
    return folder


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=pytest.mark.slow if page.name in SLOW else ())
        for page in PAGES
        if MARKED_BLOCK.search(TEXTS[page])
    ],
    ids=name_of,
)
def test_examples_run(page, workplace, tmp_path):
    code = "\n".join([PRELUDE, *MARKED_BLOCK.findall(TEXTS[page])])
    for long, short in SHORTER.items():
        code = code.replace(long, short)
    folder = tmp_path / "work"
    shutil.copytree(workplace, folder)
    finished = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert finished.returncode == 0, f"{finished.stdout[-2000:]}\n{finished.stderr[-4000:]}"


def test_commands_parse_and_every_verb_is_shown(monkeypatch):
    shown = set()
    shipped = [recipe.name for recipe in list_recipes()]
    for page, text in TEXTS.items():
        for command in COMMAND.findall(text.replace("\\\n", " ")):
            argv = shlex.split(command)
            parsed = []
            monkeypatch.setattr(importlib.import_module(VERBS[argv[0]][0]), "run", parsed.append)
            assert main(argv) == 0 and len(parsed) == 1, f"{page}: {command}"
            if argv[0] == "train":
                recipe = parsed[0].recipe if parsed[0].recipe in shipped else None
                file_settings = read_recipe(recipe) if recipe else None
                parse_settings(parsed[0].settings, MaskRCNN, DECIDED_BY_DATA, file_settings)
            shown.add(argv[0])
    assert shown == set(VERBS)


def documented(page: str) -> dict[str, str]:
    rows = TABLE_ROW.findall(TEXTS[ROOT / "docs" / page])
    assert len(rows) == len(dict(rows))
    return dict(rows)


def test_every_setting_and_argument_is_documented_with_its_default():
    fields = {field.name: repr(field.default) for field in dataclasses.fields(Recipe)}
    assert documented("training.md") == fields
    arguments = {
        name: repr(parameter.default)
        for name, parameter in inspect.signature(MaskRCNN).parameters.items()
        if name not in ("kwargs", "config_version")
    }
    assert documented("model.md") == arguments


def test_every_preset_recipe_and_loss_is_documented():
    page = TEXTS[ROOT / "docs" / "training.md"]
    for recipe in list_recipes():
        assert f"`{recipe.name}`" in page
    assert all(f"`{name}`" in TEXTS[ROOT / "docs" / "model.md"] for name in PRESETS)
    assert all(f"`{name}`" in TEXTS[ROOT / "docs" / "training.md"] for name in MaskRCNN.loss_names)
