import re
import shlex
from pathlib import Path

import keras
import pytest
import yaml

from mrcnn_tf import MaskRCNN
from mrcnn_tf.training import Recipe, list_recipes, parse_settings, read_recipe
from mrcnn_tf.training.recipe_file import write_recipe

RESERVED = ("num_classes", "class_names", "category_ids")


def settings_of(recipe, words=()):
    return parse_settings(list(words), MaskRCNN, RESERVED, read_recipe(recipe))


@pytest.fixture
def write(tmp_path):
    def write(name, text):
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return write


def test_shipped_recipes_are_whole():
    recipes = {shipped.name: shipped for shipped in list_recipes()}
    assert sorted(recipes) == ["coco_1x", "coco_3x", "coco_lsj_400e", "few_shot", "nuclei"]
    for name, shipped in recipes.items():
        recipe, options = settings_of(name)
        assert recipe != Recipe()
        assert "AP" in shipped.published and shipped.summary
        [(path, *_), *_] = read_recipe(name)
        header = Path(path).read_text().split("\nsummary:")[0]
        for word in ("Command:", "Hardware:", "Time:", "Published:", f"--recipe {name}"):
            assert word in header, (name, word)


@pytest.mark.parametrize("name", ["coco_lsj_400e", "nuclei"])
def test_the_model_of_a_recipe_can_be_built(name):
    recipe, options = settings_of(name)
    model = MaskRCNN.from_preset(recipe.preset, load_weights=False, num_classes=2, **options)
    is_synchronised = any(
        isinstance(layer, keras.layers.BatchNormalization) and layer.synchronized
        for layer in model._flatten_layers()
    )
    assert is_synchronised == (name == "coco_lsj_400e")


def test_the_schedules_are_detectron2s():
    recipe, _ = settings_of("coco_3x")
    assert (recipe.learning_rate, recipe.batch_size, recipe.steps) == (0.02, 16, 270000)
    assert [round(part * recipe.steps) for part in recipe.decay_at] == [210000, 250000]
    recipe, options = settings_of("coco_lsj_400e")
    assert [round(part * recipe.steps) for part in recipe.decay_at] == [655556, 710184]
    assert recipe.weights is None and options["norm"] == "sync_batch_norm"


def test_nuclei_is_the_command_of_the_results():
    text = (Path(__file__).parents[2] / "docs" / "results.md").read_text().replace("\\\n", " ")
    [command] = [line for line in text.splitlines() if "--out runs/nuclei" in line]
    words = [word for word in shlex.split(command) if re.match(r"\w+=", word)]
    assert len(words) > 10
    assert settings_of("nuclei") == parse_settings(words, MaskRCNN, RESERVED)


def test_words_go_before_the_file_and_the_file_before_its_base(write):
    write("base.yaml", "base: coco_1x\nlearning_rate: 1e-3\nsteps: 7\nfpn_channels: 64\n")
    path = write("mine.yaml", "base: base.yaml\nsteps: 8\nseed: 3\nanchor_sizes: [1, 2, 3, 4, 5]")
    recipe, options = settings_of(path, ["seed=4", "decay_at=(0.5,)"])
    assert recipe.learning_rate == 1e-3 and recipe.steps == 8 and recipe.seed == 4
    assert recipe.decay_at == (0.5,) and recipe.optimizer == "torch_sgd"  # of coco_1x
    assert options == {"fpn_channels": 64, "anchor_sizes": (1, 2, 3, 4, 5), "seed": 4}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "learning_rat: 1",
            "mine.yaml: Setting 'learning_rat' is not known. Did you mean learning_",
        ),
        ("steps: many", "mine.yaml: Setting steps takes int or None; got 'many'"),
        ("decay_at: [a]", "mine.yaml: Setting decay_at takes tuple.float, ...."),
        ("fpn_channels: wide", "mine.yaml: Setting fpn_channels takes int; got 'wide'"),
        ("image_size: [1, 2, 3]", "mine.yaml: Setting image_size takes int or tuple"),
        ("num_classes: 3", "mine.yaml: Setting 'num_classes' is decided by the data"),
        ("base: nothing", "Recipe 'nothing' is not known. Known: coco_1x, coco_3x"),
        ("base: [a]", "mine.yaml: base is the name or path of a recipe"),
        ("base: mine.yaml", "is its own base"),
        ("- steps", "mine.yaml must be a mapping of settings"),
        ("steps: [", "mine.yaml is not valid YAML"),
    ],
)
def test_a_wrong_file_is_named(write, text, message):
    with pytest.raises(ValueError, match=message):
        settings_of(write("mine.yaml", text))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.yaml does not exist"):
        read_recipe(tmp_path / "none.yaml")


def test_a_written_recipe_reads_back(tmp_path):
    path = str(tmp_path / "recipe.yaml")
    for name in ("coco_lsj_400e", "nuclei", "few_shot"):
        recipe, options = settings_of(name)
        write_recipe(path, recipe, {"seed": recipe.seed, **options})
        again, same_options = settings_of(path)
        assert again == recipe
        assert same_options == {"seed": recipe.seed, **options}
    assert yaml.safe_load(Path(path).read_text())["patience"] == recipe.patience
