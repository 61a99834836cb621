"""Recipes as YAML files: the shipped ones by name, anyone's by path."""

import dataclasses
import importlib.resources
import json
import os
import re
import typing

import yaml

from mrcnn_tf.training.recipe import Recipe

# Keys of a file that are no settings; `summary` and `published` are for `list_recipes`.
_ABOUT = ("base", "summary", "published")


class ShippedRecipe(typing.NamedTuple):
    """One row of `list_recipes`.

    Attributes:
        name: what `--recipe` takes.
        summary: what it is for.
        published: the AP that its source states, and the source.
    """

    name: str
    summary: str
    published: str


def list_recipes() -> list[ShippedRecipe]:
    """The recipes that come with the package.

    Example:

    >>> [recipe.name for recipe in list_recipes()][0]
    'coco_1x'
    """
    recipes = []
    for name, path in sorted(_shipped().items()):
        content = _read(path)
        recipes.append(ShippedRecipe(name, content["summary"], content["published"]))
    return recipes


def read_recipe(recipe: str | os.PathLike) -> list[tuple[str, str, typing.Any]]:
    """Settings of a recipe and of those it is based on, not yet checked.

    `base` is the name of a shipped recipe or a path relative to the file that has it; the file's
    own keys go before those of its base.

    Args:
        recipe: name of a shipped recipe, or path of a YAML file.

    Returns:
        `(source, key, value)` of every setting, where source is the path of its file.

    Raises:
        ValueError: there is no recipe of this name, a file is no mapping of YAML, or it is based
            on itself.
        FileNotFoundError: there is no such file.
    """
    settings, seen = {}, []
    path = _path(os.fspath(recipe), "")
    while path:
        if path in seen:
            raise ValueError(f"Recipe {path} is its own base: {' -> '.join([*seen, path])}.")
        seen.append(path)
        content = _read(path)
        base = content.get("base")
        for key, value in content.items():
            if key not in _ABOUT:
                settings.setdefault(key, (path, key, value))
        if base is not None and not isinstance(base, str):
            raise ValueError(f"{path}: base is the name or path of a recipe; got {base!r}.")
        path = _path(base, os.path.dirname(path)) if base else None
    return list(settings.values())


def write_recipe(path: str, recipe: Recipe, options: dict[str, typing.Any]) -> None:
    """Write settings so that `read_recipe` gives them back.

    Args:
        path: of the YAML file, which is written under a temporary name and renamed.
        recipe: every field is written.
        options: constructor arguments of the model that differ from the preset's.
    """
    # JSON has no tuples either, so that YAML is spared Python's tags.
    content = json.loads(json.dumps({**options, **dataclasses.asdict(recipe)}))
    with open(f"{path}.writing", "w", encoding="utf-8") as file:
        yaml.safe_dump(content, file, sort_keys=False)
    os.replace(f"{path}.writing", path)


def _shipped() -> dict[str, str]:
    folder = importlib.resources.files("mrcnn_tf.training") / "recipes"
    return {
        file.name.removesuffix(".yaml"): str(file)
        for file in folder.iterdir()
        if file.name.endswith(".yaml")
    }


def _path(recipe: str, folder: str) -> str:
    shipped = _shipped()
    if recipe in shipped:
        return shipped[recipe]
    if not recipe.endswith((".yaml", ".yml")):
        raise ValueError(
            f"Recipe {recipe!r} is not known. Known: {', '.join(sorted(shipped))}; or give the "
            "path of a .yaml file."
        )
    path = os.path.normpath(os.path.join(folder, recipe))
    if not os.path.isfile(path):
        raise FileNotFoundError(f"Recipe file {path} does not exist.")
    return path


class _Loader(yaml.SafeLoader):
    """YAML 1.1 reads 1e-4, which has no point, as a string."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


def _read(path: str) -> dict[str, typing.Any]:
    with open(path, encoding="utf-8") as file:
        try:
            content = yaml.load(file, _Loader)
        except yaml.YAMLError as error:
            raise ValueError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise ValueError(f"{path} must be a mapping of settings, lines of 'key: value'.")
    return content
