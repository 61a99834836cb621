import re

import pytest

from mrcnn_tf import MaskRCNN
from mrcnn_tf.training import Recipe, parse_settings


def test_settings_reach_the_recipe_or_the_model_or_both():
    recipe, options = parse_settings(
        ["steps=50", "flip=false", "preset=a/b.keras", "learning_rate=1", "image_ids=[3,5]"]
        + ["fpn_channels=64", "anchor_sizes=(8,16,32,64,128)", "seed=7"],
        MaskRCNN,
    )
    assert recipe == Recipe(
        steps=50, flip=False, preset="a/b.keras", learning_rate=1.0, image_ids=(3, 5), seed=7
    )
    assert isinstance(recipe.learning_rate, float)
    assert options == {"fpn_channels": 64, "anchor_sizes": (8, 16, 32, 64, 128), "seed": 7}
    assert parse_settings(["steps=none"], MaskRCNN)[0].steps is None
    assert parse_settings(["weights=null"], MaskRCNN)[0].weights is None


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("steps", "not of the form key=value"),
        ("stepz=5", "'stepz' is not known"),
        ("num_classes=5", "decided by the data"),
        ("steps=many", "steps takes int or None; got 'many'"),
        ("flip=1", "flip takes bool; got 1"),
        ("epochs=true", "epochs takes int; got True"),
        ("batch_size=0", "batch_size must be at least 1"),
        ("steps=0", "steps must be at least 1"),
        ("optimizer=adam", "optimizer is one of"),
        ("learning_rate=-1", "learning_rate must be positive"),
        ("schedule=step", "decay_at says where schedule=step falls"),
        ("mixed_precision=half", "mixed_precision is one of"),
        ("freeze=fpn", "freeze takes tuple[str, ...]; got 'fpn'"),
        ("box_fc=256", "box_fc takes tuple[int, ...]; got 256"),
    ],
)
def test_a_wrong_setting_is_named(word, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_settings([word], MaskRCNN, reserved=("num_classes",))
