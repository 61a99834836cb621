import keras
import numpy as np
import pytest
import tensorflow as tf

import mrcnn_tf
from mrcnn_tf import MaskRCNN, Predictor
from mrcnn_tf.models import MatterportMaskRCNN
from mrcnn_tf.models.matterport import WITHOUT_USE
from tests.models.tiny import (
    ARGUMENTS,
    LOSS_NAMES,
    check_detections,
    tiny_batch,
    tiny_model,
    with_padding,
)

TINY = {name: value for name, value in ARGUMENTS.items() if name not in WITHOUT_USE} | {
    "backbone": "resnet50",
    "backbone_channels": 4,
    "rpn_channels": 16,
    "rpn_pre_nms_top_n": (3000, 3000),
    "rpn_post_nms_top_n": (200, 200),
    "image_size": (96, 128),
    "score_threshold": 0.3,
}
WHOLE = np.int32([[128, 128]] * 2)  # the squares of two images


def tiny_matterport(**overrides) -> MatterportMaskRCNN:
    """A model whose scores and boxes are spread out although nothing has trained it."""
    keras.utils.set_random_seed(0)
    model = MatterportMaskRCNN(**{**TINY, **overrides})
    # Pixels are not divided by a deviation, and nothing is normalised without trained statistics.
    model.backbone.stem.kernel.assign(model.backbone.stem.kernel / 60)
    for block in model.backbone.blocks:
        block.convs[-1].kernel.assign(block.convs[-1].kernel / 5)
    predictors = [model.rpn.logits, model.rpn.deltas, model.box_head.logits, model.box_head.deltas]
    if model.mask:
        predictors.append(model.mask_head.logits)
    for layer, factor in zip(predictors, (200, 10, 200, 30, 100), strict=False):
        layer.kernel.assign(layer.kernel * factor)
    return model


@pytest.fixture(scope="module")
def batch():
    return tiny_batch()


@pytest.fixture(scope="module")
def model(batch):
    """One for which no class is the most probable everywhere."""
    model = tiny_matterport(nms_threshold=0.7, max_detections=40)
    squares, _ = model.squares(batch[0]["images"], batch[0]["image_sizes"])
    boxes = np.random.default_rng(0).uniform(0, 80, [2, 50, 4]) + [0, 0, 40, 40]
    pooled = model.box_pooling(model.features(squares, WHOLE)[:-1], tf.constant(boxes, tf.float32))
    logits, _ = model.box_head(pooled)
    model.box_head.logits.bias.assign(-tf.reduce_mean(logits, axis=[0, 1]))
    return model


def arrays(outputs):
    return {name: np.asarray(value) for name, value in outputs.items()}


def assert_same(first, second, atol=1e-3):
    assert sorted(first) == sorted(second)
    for name, value in first.items():
        np.testing.assert_allclose(value, second[name], atol=atol, err_msg=name)


def test_output(model, batch, each_implementation):
    found = arrays(model(batch[0]))
    check_detections(found, [(64, 96)] * 2)
    assert found["num_detections"].min() > 3
    assert not np.allclose(found["boxes"][0], found["boxes"][1])


def test_padding_and_other_images_change_nothing(model, batch):
    images = batch[0]["images"].numpy()
    expected = arrays(model(batch[0]))
    padded = np.full([2, 80, 110, 3], 77, np.uint8)
    padded[:, :64, :96] = images
    sizes = np.int32([[64, 96]] * 2)
    assert_same(arrays(model({"images": padded, "image_sizes": sizes})), expected)
    alone = arrays(model(images[1:]))
    assert_same(alone, {name: value[1:] for name, value in expected.items()})


def test_the_image_is_seen_in_the_middle_of_a_black_square(model, batch):
    images = batch[0]["images"].numpy()[:1]
    square = np.zeros([1, 128, 128, 3], np.uint8)
    square[:, 32:96, 16:112] = images
    found, expected = arrays(model(images)), arrays(model(square))
    corner = [16, 32, 16, 32]
    # Boxes that end within the image do not tell where it ends.
    same = [
        box
        for box in found["boxes"][0, : found["num_detections"][0]]
        if box.min() > 1 and box[2] < 95 and box[3] < 63
    ]
    assert len(same) > 1
    for box in same:
        assert np.abs(expected["boxes"][0] - box - corner).max(axis=1).min() < 1e-2


def test_training(batch):
    x, y = batch
    model = tiny_matterport()
    losses = model.compute_losses(x, y)
    assert sorted(losses) == sorted(LOSS_NAMES)
    assert all(0 < float(loss) < 100 for loss in losses.values()), losses
    assert_same(arrays(model.compute_losses(x, with_padding(y, 2))), arrays(losses), atol=1e-4)

    # The same as with the images in their squares and the objects moved along.
    squares = np.zeros([2, 128, 128, 3], np.uint8)
    squares[:, 32:96, 16:112] = x["images"]
    corner = np.float32([16, 32, 16, 32])
    moved = y | {name: y[name] + corner for name in ("boxes", "mask_boxes")}
    assert_same(arrays(model.compute_losses(squares, moved)), arrays(losses), atol=1e-4)

    model.compile(optimizer=keras.optimizers.SGD(1e-4))
    data = tf.data.Dataset.from_tensors((x, y)).repeat(4)
    history = model.fit(data, epochs=2, verbose=0).history
    assert history["loss"][1] < history["loss"][0]


def test_a_saved_model_is_the_same(model, batch, tmp_path, capsys):
    path = str(tmp_path / "model.keras")
    model.save(path)
    again = mrcnn_tf.load(path)
    assert type(again) is MatterportMaskRCNN
    assert not set(again.get_config()) & set(WITHOUT_USE)
    assert_same(arrays(again(batch[0])), arrays(model(batch[0])))

    other = MaskRCNN.from_preset(path, num_classes=2, score_threshold=0.1)
    assert type(other) is MatterportMaskRCNN and other.num_classes == 2
    assert "6 weights start anew" in capsys.readouterr().out
    np.testing.assert_array_equal(other.backbone.stem.kernel, model.backbone.stem.kernel)
    tiny_model().save(path)
    with pytest.raises(ValueError, match="holds a MaskRCNN, not a MatterportMaskRCNN"):
        MatterportMaskRCNN.from_preset(path)


def test_arguments_without_meaning_are_refused():
    for name in WITHOUT_USE:
        with pytest.raises(ValueError, match=f"{name} has no meaning"):
            MatterportMaskRCNN(**TINY, **{name: 1})
    with pytest.raises(ValueError, match="choose one of resnet50, resnet101"):
        MatterportMaskRCNN(**TINY | {"backbone": "resnet18"})


def test_half_precision_and_no_masks(batch):
    model = tiny_matterport(dtype="mixed_bfloat16", mask=False)
    found = arrays(model(batch[0]))
    check_detections(found, [(64, 96)] * 2, masks=False)
    pyramid = model.features(tf.zeros([2, 128, 128, 3]), WHOLE)
    assert pyramid[0].dtype == tf.bfloat16
    assert sorted(model.compute_losses(*batch)) == sorted(LOSS_NAMES[:-1])


@pytest.fixture
def photo(rng):
    squares = rng.integers(0, 256, [10, 14, 3])
    return np.kron(squares, np.ones([16, 16, 1])).astype(np.uint8)


def test_predictor(model, photo):
    found = Predictor(model, score_threshold=0.0)(photo)[0]
    assert len(found["boxes"]) > 3 and found["image_masks"].shape[1:] == photo.shape[:2]
    np.testing.assert_array_equal(found["boxes"], np.round(found["boxes"]))
    assert found["boxes"].min() >= 0 and (found["boxes"].max(axis=0) <= [224, 160] * 2).all()


@pytest.mark.slow
def test_export(model, photo, tmp_path):
    found = Predictor(model, score_threshold=0.0)(photo)[0]
    model.export(tmp_path / "served", verbose=False)
    served = tf.saved_model.load(str(tmp_path / "served"))
    count = len(found["boxes"])
    answer = arrays(served.serve_images(photo[None]))
    assert answer["num_detections"] == [count]
    for name in ("boxes", "classes", "scores", "masks"):
        np.testing.assert_allclose(answer[name][0, :count], found[name], atol=1e-3)
        assert (answer[name][0, count:] == (-1 if name == "classes" else 0)).all()
    assert_same(arrays(served.serve(photo[None])), arrays(model(photo[None])))
