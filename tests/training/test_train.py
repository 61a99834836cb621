import csv
import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

import mrcnn_tf
from mrcnn_tf import MaskRCNN
from mrcnn_tf.cli.main import main
from mrcnn_tf.data import CocoDataset, find_split, shapes, write_records
from mrcnn_tf.training import Recipe, make_optimizer, parse_settings, read_recipe
from mrcnn_tf.training.train import build_model
from mrcnn_tf.weights import model_from_torchvision
from tests.models.tiny import ARGUMENTS, tiny_batch, tiny_model
from tests.weights.published import TORCHVISION, publish

SETTINGS = [
    f"{name}={value}".replace(" ", "")
    for name, value in ARGUMENTS.items()
    if name not in ("num_classes", "image_size")
]
SETTINGS += ["weights=none", "preset=maskrcnn_resnet50_fpn", "image_size=96", "norm=batch_norm"]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    for stem, count in (("train", 4), ("val", 2)):
        shapes.generate(folder, count, stem=stem, image_size=96, progress=False)
    return folder


@pytest.fixture(scope="module")
def records(scenes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    write_records(CocoDataset(*find_split(scenes, "train")), folder, shards=2, keypoints=True)
    return folder


def test_train_leaves_a_complete_folder(scenes, tmp_path, capsys):
    out = tmp_path / "run"
    words = ["train", str(scenes), "--train", "train", "--val", "val", "--out", str(out)]
    assert main([*words, *SETTINGS, "steps=4", "batch_size=2", "evaluate_every=2", "ema=0.5"]) == 0
    assert {path.name for path in out.iterdir()} == {
        "best.keras",
        "checkpoints",
        "log.csv",
        "model.keras",
        "recipe.yaml",
        "report.html",
        "settings.json",
        "times.csv",
    }
    printed = capsys.readouterr().out
    assert "mask_loss" in printed and "best val_mask_ap" in printed

    settings = json.loads((out / "settings.json").read_text())
    assert settings["recipe"]["steps"] == 4 and settings["model"]["fpn_channels"] == 32
    with open(out / "log.csv") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2  # four steps of two images are two passes over four images
    report = (out / "report.html").read_text()
    assert "Predictions beside ground truth" in report and "after 2 of 2 epochs, 4 steps" in report
    assert rows[0]["val_mask_ap"] == "" and 0 <= float(rows[1]["val_mask_ap"]) <= 1

    again = [*words, *SETTINGS, "steps=4", "batch_size=2", "evaluate_every=2", "ema=0.5"]
    assert main(again) == 2 and "--resume" in capsys.readouterr().err
    assert main([*again, "--resume", "flip=false"]) == 2
    assert "recipe.flip was True, now False" in capsys.readouterr().err
    read, options = parse_settings([], MaskRCNN, file_settings=read_recipe(out / "recipe.yaml"))
    assert read.steps == 4 and read.ema == 0.5 and options["fpn_channels"] == 32

    model = mrcnn_tf.load(out / "model.keras")
    assert int(model.optimizer.iterations) == 4
    assert model.class_names == [category["name"] for category in shapes.CATEGORIES]
    assert model.category_ids == [category["id"] for category in shapes.CATEGORIES]


def test_a_run_starts_from_a_published_detector(scenes, tmp_path, monkeypatch, capsys):
    path = publish(monkeypatch, tmp_path, TORCHVISION)
    dataset = CocoDataset(*find_split(scenes, "train"))
    model = build_model(dataset, *parse_settings([f"preset={TORCHVISION}"], MaskRCNN))
    assert "weights start anew" in capsys.readouterr().out
    assert model.class_names == dataset.class_names
    assert model.category_ids == dataset.category_ids
    expected = model_from_torchvision(path)
    np.testing.assert_array_equal(model.rpn.deltas.kernel, expected.rpn.deltas.kernel)


@pytest.mark.slow
def test_same_seed_same_weights(scenes, tmp_path):
    def weights(name, seed):
        out = str(tmp_path / name)
        words = ["train", str(scenes), "--train", "train", "--out", out, *SETTINGS]
        assert main([*words, "steps=2", "batch_size=2", f"seed={seed}"]) == 0
        keras.backend.clear_session()
        return mrcnn_tf.load(tmp_path / name / "model.keras").get_weights()

    first, second, other = weights("a", 1), weights("b", 1), weights("c", 2)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    assert any(np.abs(a - b).max() > 1e-2 for a, b in zip(first, other, strict=True))


@pytest.mark.slow
def test_a_run_on_records_is_the_run_on_the_folder(scenes, records, tmp_path):
    def log(name, words):
        base = ["--train", "train", "--val", "val", "--out", str(tmp_path / name)]
        settings = [*SETTINGS, "steps=4", "batch_size=2", "keypoints=17", "scale_jitter=(0.5,1.5)"]
        assert main(["train", *words, *base, *settings]) == 0
        keras.backend.clear_session()
        with open(tmp_path / name / "log.csv") as file:
            return [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]

    direct = log("direct", [str(scenes)])
    through = log("records", [str(records), "--val-data", str(scenes)])
    assert len(direct) == 2 and "val_keypoint_ap" in direct[1]
    for a, b in zip(direct, through, strict=True):
        assert a.keys() == b.keys()
        for name in a.keys() - {"seconds"}:
            np.testing.assert_allclose(a[name], b[name], rtol=1e-4, atol=1e-5, err_msg=name)


def test_records_need_a_folder_to_evaluate_on(records, tmp_path, capsys):
    base = ["train", str(records), "--out", str(tmp_path / "out")]
    for words, message in (
        (["--train", "train", "--val", "val"], "with --val-data"),
        (["--train", "val"], "holds records of the split train, not of val"),
        (["--train", "train", "--val", "val", "--val-data", "nowhere"], "nowhere does not exist"),
    ):
        assert main([*base, *words]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_half_precision_trains_and_frozen_layers_stay(scenes, tmp_path, precision):
    out = tmp_path / "run"
    words = ["train", str(scenes), "--train", "train", "--out", str(out), *SETTINGS, "batch_size=2"]
    words += [f"mixed_precision={precision}", "freeze=('backbone','fpn')", "optimizer=torch_sgd"]
    dataset = CocoDataset(*find_split(scenes, "train"))
    before = build_model(dataset, *parse_settings(words[6:], MaskRCNN))
    assert before.fpn.trainable_variables == [] and before.backbone.trainable_variables == []
    assert main([*words, "steps=6", "learning_rate=0.01", "ema=0.5"]) == 0
    model = mrcnn_tf.load(out / "model.keras", compile=False)
    assert model.dtype_policy.name == f"mixed_{precision}"
    with open(out / "log.csv") as file:
        assert all(np.isfinite(float(row["loss"])) for row in csv.DictReader(file))
    for name, changes in (("fpn", False), ("rpn", True), ("mask_head", True)):
        pairs = zip(getattr(before, name).weights, getattr(model, name).weights, strict=True)
        assert any(np.any(a.numpy() != b.numpy()) for a, b in pairs) == changes, name


def test_the_loss_scale_moves_and_is_saved(tmp_path):
    model = tiny_model(dtype="mixed_float16", frozen_stages=5)
    model.compile(optimizer=make_optimizer(Recipe(learning_rate=1e-4, ema=0.9), 10))
    model.optimizer.dynamic_growth_steps = 2
    start = float(model.optimizer.initial_scale)
    data = tf.data.Dataset.from_tensors(tiny_batch()).repeat()
    history = model.fit(data, steps_per_epoch=4, epochs=1, verbose=0)
    assert all(np.isfinite(history.history["loss"]))
    scale = float(model.optimizer.dynamic_scale)
    assert scale != start
    model.save(tmp_path / "model.keras")
    again = mrcnn_tf.load(tmp_path / "model.keras")
    assert float(again.optimizer.dynamic_scale) == scale
    assert int(again.optimizer.iterations) == int(model.optimizer.iterations)


def test_unusable_input_is_one_line(scenes, tmp_path, capsys):
    base = ["train", str(scenes), "--out", str(tmp_path / "out")]
    for words, message in (
        (["--train", "missing"], "missing.json does not exist"),
        (["--train", "train", "learning_rat=1"], "'learning_rat' is not known"),
        (["--train", "train", "preset=none.keras"], "No model file at 'none.keras'"),
        (["--train", "train", "preset=unknown"], "Preset 'unknown' is not known"),
        (["--train", "train", "--recipe", "unknown"], "Recipe 'unknown' is not known"),
        (["--train", "train", "patience=2"], "needs a split to evaluate on"),
        (
            ["--train", "train", *SETTINGS, "freeze=('neck',)"],
            "freeze names 'neck'; this model has backbone, fpn, rpn, box_head",
        ),
        ([], "mrcnn-tf train needs --train"),
    ):
        assert main([*base, *words]) == 2
        captured = capsys.readouterr()
        assert message in captured.err and captured.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_broken_image_is_named(scenes, tmp_path, capsys):
    data = tmp_path / "data"
    shutil.copytree(scenes, data)
    image = next((data / "images").glob("train_*.png"))
    image.write_bytes(image.read_bytes()[:300])
    words = ["train", str(data), "--train", "train", "--out", str(tmp_path / "out")]
    assert main([*words, *SETTINGS, "steps=2", "batch_size=4"]) == 2
    [line] = [line for line in capsys.readouterr().err.splitlines() if "error:" in line]
    assert image.name in line and "Replace the file" in line and "Traceback" not in line


@pytest.mark.slow
def test_joints_are_learnt_where_the_model_has_some(scenes, tmp_path):
    """Their names are the data's; the head's own settings are the model's."""
    annotations = scenes / "annotations" / "joints.json"
    content = json.loads((scenes / "annotations" / "train.json").read_text())
    for category in content["categories"]:
        category["keypoints"] = ["left_top", "right_bottom"]
        category["skeleton"] = [[1, 2]]
    for annotation in content["annotations"]:
        x, y, width, height = annotation["bbox"]
        annotation["keypoints"] = [x, y, 2, x + width - 1, y + height - 1, 2]
    annotations.write_text(json.dumps(content))
    out = str(tmp_path / "run")
    words = ["train", str(scenes), "--train", "joints", "--val", "joints", "--out", out]
    joints = ["keypoints=2", "keypoint_sigmas=(0.1,0.1)"]
    assert main([*words, *SETTINGS, *joints, "steps=2", "batch_size=2"]) == 0
    model = mrcnn_tf.load(tmp_path / "run" / "model.keras")
    assert model.keypoint_names == ["left_top", "right_bottom"]
    assert model.keypoint_skeleton == [[0, 1]] and model.keypoint_classes == list(range(7))
    with open(tmp_path / "run" / "log.csv") as file:
        row = next(csv.DictReader(file))
    assert float(row["keypoint_loss"]) > 0 and 0 <= float(row["val_keypoint_ap"]) <= 1
    # A model with joints goes on learning them.
    words[-1], joints[0] = str(tmp_path / "again"), f"preset={out}/model.keras"
    assert main([*words, *joints, "steps=1", "batch_size=2"]) == 0
    assert mrcnn_tf.load(tmp_path / "again" / "model.keras").keypoint_skeleton == [[0, 1]]


def test_figures_of_a_scene_have_joints(scenes):
    """Coco's 17, which the settings of a training turn on, on one class of seven."""
    dataset = CocoDataset(*find_split(scenes, "train"))
    options = {**ARGUMENTS, "keypoints": 17}
    del options["num_classes"]
    recipe = Recipe(preset="maskrcnn_resnet50_fpn", weights=None)
    model = build_model(dataset, recipe, options)
    assert model.keypoint_names == list(shapes.JOINT_NAMES)
    assert [[a + 1, b + 1] for a, b in model.keypoint_skeleton] == [
        list(p) for p in shapes.SKELETON
    ]
    assert model.keypoint_classes == [0] and model.class_names[0] == "person"
    with pytest.raises(ValueError, match="keypoint_names has 17 entries, but keypoints is 5"):
        build_model(dataset, recipe, {**options, "keypoints": 5})


def test_recipes_are_listed(capsys):
    assert main(["train", "--list-recipes"]) == 0
    printed = capsys.readouterr().out
    assert "coco_1x" in printed and "box AP 38.6, mask AP 35.2 (Detectron2" in printed
