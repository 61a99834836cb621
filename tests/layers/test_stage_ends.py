import keras
import pytest
from keras import layers

from mrcnn_tf.layers.stage_ends import stage_ends


def conv(name, strides=2, padding="same"):
    return layers.Conv2D(4, 3, strides, padding, name=name)


def network(padding="same"):
    images = keras.Input((None, None, 3))
    x = layers.Rescaling(1 / 255, name="pixels")(images)
    x = conv("stride2")(x)
    wide = conv("stride4")(conv("stride2_last", 1, padding)(x))
    x = layers.Add(name="stride4_sum")([wide, conv("stride4_branch", 1)(wide)])
    # A shortcut around them: nothing behind depends on the branch alone.
    branch = conv("stride4_inside", 1)(x)
    shortcut = layers.MaxPooling2D(1, 2, name="shortcut")(x)
    x = layers.Add(name="stride8")([conv("stride8_branch")(branch), shortcut])
    x = conv("stride16")(x)
    x = layers.ZeroPadding2D(1, name="padded")(x)
    x = conv("stride32", padding="valid")(x)
    pooled = layers.GlobalAveragePooling2D(keepdims=True)(x)
    return keras.Model(images, layers.Multiply(name="gated")([x, pooled]))


def test_parts_lie_between_maps_on_which_everything_depends():
    small = network()
    names = ["pixels", "stride2_last", "stride4_sum", "stride8", "stride16", "gated"]
    expected = [small.get_layer(name).output for name in names]
    assert [id(x) for x in stage_ends("small", small)] == [id(x) for x in expected]


def test_the_layer_that_does_not_pad_is_named():
    with pytest.raises(ValueError, match="small cannot be .*divided by 4, as .*'stride2_last' "):
        stage_ends("small", network(padding="valid"))


def test_branches_that_do_not_meet():
    small = network()
    small.get_layer("shortcut").strides = (1, 1)
    with pytest.raises(ValueError, match="divided by 4, 8, 16, 32, as a feature pyramid needs$"):
        stage_ends("small", small)
