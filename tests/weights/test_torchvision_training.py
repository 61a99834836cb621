"""A training step of torchvision's Mask R-CNN: losses and gradients on its own samples."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from mrcnn_tf import MaskRCNN, losses
from mrcnn_tf.weights import (
    TORCHVISION_ARGUMENTS,
    load_torchvision_weights,
    torchvision_detection,
)
from mrcnn_tf.weights.torchvision_detection import torchvision_weights
from tests.weights.injected_training import LOSSES, injected_samples, training_targets
from tests.weights.seeded_detector import seeded_detector_tensor, seeded_image

GOLDEN = dict(np.load(Path(__file__).parent.parent / "golden/torchvision_training.npz"))
SIZES = ((64, 96), (96, 72))


def load(model: MaskRCNN, values) -> None:
    """Loads a state dict of `values(name, shape)`."""
    names = torchvision_weights(model)
    tensors = {name: values(name, torchvision_shape(names[name])) for name in names}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torchvision_detection, "read_state_dict", lambda path: tensors)
        load_torchvision_weights(model, "some.pth")


def torchvision_shape(place: tuple) -> tuple[int, ...]:
    variable, axes, *rows = place
    first, *others = (variable.shape[axes.index(i)] for i in range(len(axes)))
    return (first + sum(rows), *others)


@pytest.fixture(scope="module")
def model_and_places():
    """The model, and where torchvision has each value of its trained weights."""
    model = MaskRCNN(num_classes=90, **TORCHVISION_ARGUMENTS)
    # Loaded like any weights, the numbers of the values tell.
    load(model, lambda _, shape: np.arange(np.prod(shape), dtype=np.float32).reshape(shape))
    places = [variable.numpy().reshape(-1) for variable in model.trainable_variables]
    load(model, seeded_detector_tensor)
    return model, places


@pytest.fixture(scope="module")
def model(model_and_places):
    return model_and_places[0]


@pytest.fixture(scope="module")
def batch():
    images = np.zeros([2, 96, 96, 3], np.float32)
    objects = []
    for i, (height, width) in enumerate(SIZES):
        images[i, :height, :width] = seeded_image(height, width)
        masks = np.unpackbits(GOLDEN[f"masks_packed.{i}"], axis=1)[:, : height * width]
        masks = masks.reshape(-1, height, width).astype(bool)
        objects.append({name: GOLDEN[f"{name}.{i}"] for name in ("boxes", "labels")})
        objects[i]["masks"] = masks
    x = {"images": tf.constant(images), "image_sizes": tf.constant(SIZES)}
    return x, training_targets(objects)


def test_anchor_labels_and_proposals(model, batch):
    x, y = batch
    pyramid = model.features(x["images"], x["image_sizes"], True)
    anchors = model.anchors(pyramid)
    stacked = tf.concat(anchors, axis=0)
    labels, _ = losses.rpn_labels(
        stacked, losses.with_spare_row(y), x["image_sizes"], *model.rpn_iou[::-1]
    )
    boxes, _, count = model.training_proposals(*model.rpn(pyramid), anchors, x["image_sizes"])
    centres = (stacked[:, :2] + stacked[:, 2:]) / 2
    for i, (height, width) in enumerate(SIZES):
        # Background on padding is background to torchvision; here it is not trained on.
        on_image = np.all(centres < [width, height], axis=1)
        expected = GOLDEN[f"anchor_labels.{i}"]
        np.testing.assert_array_equal(labels[i][on_image], expected[on_image])
        assert np.all(labels[i][~on_image] == -1) and not np.any(expected[~on_image] == 1)
        proposals = GOLDEN[f"proposals.{i}"]
        assert count[i] == len(proposals) > 200
        # Two with scores as good as equal may stand in either order.
        distance = np.abs(boxes[i, : len(proposals)].numpy()[:, None] - proposals).max(axis=-1)
        assert distance.min(axis=0).max() <= 0.01 and distance.min(axis=1).max() <= 0.01


def test_losses_and_gradients(model_and_places, batch):
    """Every loss, and of every trained weight the gradient's norm and four of its values."""
    model, places = model_and_places
    with tf.GradientTape() as tape:
        found = model.compute_losses(*batch, samples=injected_samples(GOLDEN))
        total = model.total_loss(found)
    for name, value in found.items():
        assert float(value) == pytest.approx(float(GOLDEN[LOSSES[name]]), rel=1e-4), name
    weights = torchvision_weights(model)
    names = {id(variable): name for name, (variable, *_) in weights.items()}
    variables = model.trainable_variables
    assert {names[id(variable)] for variable in variables} == set(GOLDEN["trained"])
    gradients = tape.gradient(total, [variable.value for variable in variables])

    rows = {name: row for row, name in enumerate(GOLDEN["trained"])}
    for variable, place, gradient in zip(variables, places, gradients, strict=True):
        name = names[id(variable)]
        norm, values = (GOLDEN[f"gradient_{what}"][rows[name]] for what in ("norms", "samples"))
        assert float(tf.norm(gradient)) == pytest.approx(float(norm), rel=1e-3), name
        gradient, size = gradient.numpy().reshape(-1), np.prod(torchvision_shape(weights[name]))
        for eighth, expected in zip((1, 3, 5, 7), values, strict=True):
            at = np.flatnonzero(place == size * eighth // 8)
            # Of the heads torchvision has more values: those of the background, which has no box.
            value = gradient[at[0]] if at.size else 0.0
            assert abs(value - expected) <= 1e-3 * norm, (name, eighth)
