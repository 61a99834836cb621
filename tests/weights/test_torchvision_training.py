"""A training step of torchvision's Mask R-CNN: losses and gradients on its own samples."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from mrcnn_tf import MaskRCNN, losses
from mrcnn_tf.weights import TORCHVISION_ARGUMENTS, model_from_torchvision, torchvision_detection
from mrcnn_tf.weights.torchvision_detection import torchvision_weights
from tests.weights.injected_training import LOSSES, injected_samples, training_targets
from tests.weights.seeded_detector import seeded_detector_tensor, seeded_image

GOLDEN = dict(np.load(Path(__file__).parent.parent / "golden/torchvision_training.npz"))
SIZES = ((64, 96), (96, 72))


def import_with(values) -> MaskRCNN:
    """The model out of a state dict with `values(name, shape)`."""
    empty, tensors = MaskRCNN(num_classes=90, **TORCHVISION_ARGUMENTS), {}
    for name, (variable, axes, *rows) in torchvision_weights(empty).items():
        first, *others = (variable.shape[axes.index(i)] for i in range(len(axes)))
        tensors[name] = values(name, (first + sum(rows), *others))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torchvision_detection, "read_state_dict", lambda path: tensors)
        return model_from_torchvision("some.pth")


@pytest.fixture(scope="module")
def model():
    return import_with(seeded_detector_tensor)


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


def test_losses_and_gradients(model, batch):
    """Every loss, and of every trained weight the gradient's norm and four of its values."""
    with tf.GradientTape() as tape:
        found = model.compute_losses(*batch, samples=injected_samples(GOLDEN))
        total = model.total_loss(found)
    for name, value in found.items():
        assert float(value) == pytest.approx(float(GOLDEN[LOSSES[name]]), rel=1e-4), name
    names = {id(variable): name for name, (variable, *_) in torchvision_weights(model).items()}
    variables = model.trainable_variables
    assert {names[id(variable)] for variable in variables} == set(GOLDEN["trained"])
    gradients = tape.gradient(total, [variable.value for variable in variables])

    # A model of the numbers of its values tells where torchvision has each.
    places = import_with(
        lambda _, shape: np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    )
    rows = {name: row for row, name in enumerate(GOLDEN["trained"])}
    for variable, place, gradient in zip(
        variables, places.trainable_variables, gradients, strict=True
    ):
        name = names[id(variable)]
        norm, values = (GOLDEN[f"gradient_{what}"][rows[name]] for what in ("norms", "samples"))
        assert float(tf.norm(gradient)) == pytest.approx(float(norm), rel=1e-3), name
        numbers, gradient = place.numpy().reshape(-1), gradient.numpy().reshape(-1)
        # Of the heads torchvision has more values: those of the background, which has no box.
        size = int(np.prod(torchvision_shape(model, name)))
        for eighth, value in zip((1, 3, 5, 7), values, strict=True):
            at = np.flatnonzero(numbers == size * eighth // 8)
            found = gradient[at[0]] if at.size else 0.0
            assert abs(found - value) <= 1e-3 * norm, (name, eighth)


def torchvision_shape(model: MaskRCNN, name: str) -> tuple[int, ...]:
    variable, axes, *rows = torchvision_weights(model)[name]
    first, *others = (variable.shape[axes.index(i)] for i in range(len(axes)))
    return (first + sum(rows), *others)
