import numpy as np
import pytest
import tensorflow as tf

from mrcnn_tf.export import portable_function, read_portable
from mrcnn_tf.models import MatterportMaskRCNN, Predictor

from .conftest import blocks

PHOTOS = [blocks(1, 150, 200, seed=1)[0], blocks(1, 96, 110, seed=2)[0]]


def on_canvas(photo, height=150, width=200):
    canvas = np.full((1, height, width, 3), 200, np.uint8)  # what lies beyond does not matter
    canvas[0, : photo.shape[0], : photo.shape[1]] = photo
    return tf.constant(canvas), tf.constant([photo.shape[:2]], tf.int32)


# What one level in some resized pixels changes in a model of random weights.
TOLERANCES = {"boxes": 0.2, "keypoints": 1.0, "classes": 0, "scores": 0.02, "masks": 0.02}


def same(outputs, row, expected):
    count = int(outputs["num_detections"][row])
    assert count == len(expected["scores"]) > 0
    for name, value in expected.items():
        off = abs(outputs[name].numpy()[row, :count] - value)
        assert off.max() <= TOLERANCES[name], name


@pytest.fixture(scope="module")
def expected(tiny_model):
    predictor = Predictor(tiny_model, score_threshold=0.0)
    return [predictor.predict_batch([photo])[0] for photo in PHOTOS]


def test_portable_is_predictor_on_a_canvas(tiny_model, large_portable, exported, expected):
    portable = large_portable
    assert portable.size == (150, 200)
    assert portable.labels["class_names"] == tiny_model.class_names
    assert not portable.function.captured_inputs  # the weights are constants
    outputs = portable.function.structured_outputs
    assert list(outputs) == sorted(outputs)
    assert outputs["boxes"].shape == [1, 16, 4]
    images, sizes = on_canvas(PHOTOS[0])
    same(portable.function(images=images, image_sizes=sizes), 0, expected[0])
    # A SavedModel has it at the size of the model, into which the second photo fits.
    saved = read_portable(exported)
    assert saved.size == tiny_model.image_size and saved.labels == portable.labels
    images, sizes = on_canvas(PHOTOS[1], 96, 128)
    found = saved.function(images=images, image_sizes=sizes)
    same(found, 0, Predictor(tiny_model, 0.0).predict_batch([PHOTOS[1]])[0])


def test_open_batch(tiny_model, expected):
    detect = portable_function(tiny_model, (150, 200), batch=None, dtype=tf.float32)
    images, sizes = zip(*map(on_canvas, PHOTOS), strict=True)
    images = tf.cast(tf.concat(images, axis=0), tf.float32)
    outputs = detect(images=images, image_sizes=tf.concat(sizes, axis=0))
    same(outputs, 0, expected[0])
    assert outputs["num_detections"].shape == [2]


def test_what_holds_no_portable_function(tmp_path, tiny_model, exported):
    with pytest.raises(ValueError, match=r"cells/1 holds the function.*96, 128, 3\).*64, 64"):
        read_portable(exported, (64, 64))
    with pytest.raises(ValueError, match="size must be height and width in pixels, got "):
        read_portable(tiny_model, (0, 64))
    with pytest.raises(ValueError, match="CropAndResize"):
        read_portable(MatterportMaskRCNN("resnet50", num_classes=1, fpn_channels=8, box_fc=(8,)))
    with pytest.raises(FileNotFoundError, match="model.keras"):
        read_portable(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="Preset 'maskrcnn_resnet51' is not known"):
        read_portable("maskrcnn_resnet51")
    module = tf.Module()
    tf.saved_model.save(module, str(tmp_path / "other"))
    with pytest.raises(ValueError, match="other has no signature 'portable'"):
        read_portable(tmp_path / "other")
