"""Detectron2's answers on photos of COCO, and its losses and gradients of one training step."""

import json

import numpy as np
import pytest
import tensorflow as tf
from pycocotools import mask as coco_mask

from mrcnn_tf import losses
from mrcnn_tf.models import Predictor, mask_rcnn_losses
from mrcnn_tf.ops import paste_masks
from mrcnn_tf.weights.detectron2 import detectron2_weights
from tests.weights.detectron2_case import (
    BOX_TOLERANCE,
    MASK_TOLERANCE,
    PHOTOS,
    SCORE_TOLERANCE,
    TOLERANCE,
    difference,
    pair_up,
)

LOSSES = {
    "rpn_objectness_loss": "loss_rpn_cls",
    "rpn_box_loss": "loss_rpn_loc",
    "class_loss": "loss_cls",
    "box_loss": "loss_box_reg",
    "mask_loss": "loss_mask",
    "keypoint_loss": "loss_keypoint",
}


@pytest.fixture(scope="session")
def meta(photo_golden):
    return json.loads((photo_golden / "d2_mask_rcnn.meta.json").read_text())


@pytest.mark.parametrize("index", range(3), ids=PHOTOS)
def test_detections(detectron2_model, photo, photo_golden, meta, index):
    golden = np.load(photo_golden / f"d2_mask_rcnn.image{index}.npz")
    expected = {name: golden[f"det.{name}"] for name in ("boxes", "classes", "scores")}
    found = {name: np.asarray(value)[0] for name, value in detectron2_model(photo(index)).items()}
    count = found.pop("num_detections")
    assert count == len(expected["boxes"])
    found = {name: value[:count] for name, value in found.items()}
    rows, moved, changed = pair_up(found, expected)
    assert moved.max() <= BOX_TOLERANCE and changed.max() <= SCORE_TOLERANCE
    masks = np.abs(found["masks"][rows] - golden["det.mask_probs"].astype(np.float32))
    assert masks.max() <= MASK_TOLERANCE

    (height, width), (original_height, original_width) = (
        meta["images"][index][name] for name in ("resized_hw", "orig_hw")
    )
    scale = np.float32([original_width / width, original_height / height] * 2)
    boxes = found["boxes"][rows] * scale
    pasted = paste_masks(found["masks"][rows], boxes, original_height, original_width).numpy()
    for ours, encoded in zip(pasted, meta["images"][index]["masks_rle"], strict=True):
        assert (ours != coco_mask.decode(encoded)).sum() <= 5  # pixels at the edge of a mask


def test_predictor(detectron2_model, data_folder, photo_golden, meta):
    golden = np.load(photo_golden / "d2_mask_rcnn.image1.npz")
    path = data_folder / "coco128" / "train2017" / PHOTOS[1]
    found = Predictor(detectron2_model, score_threshold=0.0)(path)[0]
    expected = {name: golden[f"final.{name}"] for name in ("boxes", "classes", "scores")}
    rows, moved, changed = pair_up(found, expected)
    assert len(rows) == len(found["boxes"])
    # Scaled from short side 256 to the 218 x 640 of the photo, at most 427.
    assert moved.max() <= 1.5 * BOX_TOLERANCE and changed.max() <= SCORE_TOLERANCE
    for ours, encoded in zip(
        found["image_masks"][rows], meta["images"][1]["masks_rle"], strict=True
    ):
        assert (ours != coco_mask.decode(encoded)).sum() <= 5


def test_boxes_at_every_edge(detectron2_model, photo, photo_golden):
    """Boxes at the limits of levels, out of the image, empty, and slivers."""
    golden = dict(np.load(photo_golden / "d2_mask_rcnn.injected.npz"))
    x, boxes = photo(0), golden["boxes"][None]
    pyramid = detectron2_model.features(x["images"], x["image_sizes"])[:-1]
    pooled = detectron2_model.box_pooling(pyramid, boxes)
    channels_first = np.moveaxis(np.asarray(pooled)[0], -1, 1)
    assert difference(channels_first, golden, "box_pooled") <= TOLERANCE
    logits, deltas = (np.asarray(value)[0] for value in detectron2_model.box_head(pooled))
    masks = np.asarray(detectron2_model.mask_head(detectron2_model.mask_pooling(pyramid, boxes)))[0]
    masks = masks[np.arange(len(masks)), :, :, golden["classes"]]
    for found, name in (
        (logits, "cls_logits"),
        (deltas.reshape(len(deltas), -1), "deltas"),
        (1 / (1 + np.exp(-masks)), "mask_probs"),
    ):
        expected = golden[name]
        assert np.abs(found - expected).max() <= TOLERANCE * np.abs(expected).max(), name


def chosen(positive: np.ndarray, negative: np.ndarray) -> losses.Samples:
    indices = np.concatenate([positive, negative]).astype(np.int32)[None]
    is_positive = np.arange(indices.size)[None] < len(positive)
    return losses.Samples(*map(tf.constant, (indices, is_positive, np.ones_like(is_positive))))


@pytest.mark.parametrize("case", ["first_k", "keep_all"])
@pytest.mark.parametrize("kind", ["mask", "keypoint"])
def test_training_step(request, photo, photo_golden, kind, case, monkeypatch):
    """Labels, losses and the gradient of every weight, with Detectron2's own choice of samples."""
    names = {"mask": "detectron2_model", "keypoint": "detectron2_keypoint_model"}
    model = request.getfixturevalue(names[kind])
    meta = json.loads((photo_golden / f"d2_{kind}_rcnn.meta.json").read_text())
    expected = meta["train"][case]
    golden = np.load(photo_golden / f"d2_{kind}_rcnn.train.npz")
    x = photo(2)
    objects = len(golden["gt.boxes"])
    y = {
        "boxes": golden["gt.boxes"][None],
        "classes": golden["gt.classes"][None],
        "is_crowd": np.zeros([1, objects], bool),
        "image_id": np.int64([113]),
        "masks": np.zeros([1, 1], np.uint8),
        "mask_shapes": np.ones([1, objects, 2], np.int32),
        "mask_boxes": golden["gt.boxes"][None],
    }
    if kind == "keypoint":
        y["keypoints"] = golden["gt.keypoints"][None]
    y = tf.nest.map_structure(tf.constant, y)

    pyramid = model.features(x["images"], x["image_sizes"])
    anchors = model.anchors(pyramid)
    proposals, _, count = model.training_proposals(*model.rpn(pyramid), anchors, x["image_sizes"])
    theirs = golden[f"{case}.rpn_proposals"]
    assert count[0] == len(theirs)
    np.testing.assert_allclose(proposals[0], theirs, atol=BOX_TOLERANCE)

    labels, _ = losses.assign(
        tf.concat(anchors, axis=0), losses.with_spare_row(y), *model.rpn_iou[::-1], True
    )
    positive, negative = (np.flatnonzero(labels[0] == label) for label in (1, 0))
    kept = min(expected["rpn_batch_per_image"] // 2, len(positive))
    np.testing.assert_array_equal(positive[:kept], golden[f"{case}.anchor_pos_idx"])
    negative = negative[: expected["anchors_neg"]]
    if case == "first_k":
        np.testing.assert_array_equal(negative, golden[f"{case}.anchor_neg_idx"])
    anchors = chosen(positive[:kept], negative)

    # RoIs are rows of the proposals and the objects behind them.
    candidates = np.concatenate([theirs, golden["gt.boxes"]])
    distances = np.abs(golden[f"{case}.roi_boxes"][:, None] - candidates[None]).max(axis=-1)
    assert not distances.min(axis=1).any()
    rows = distances.argmin(axis=1)
    positives = int((golden[f"{case}.roi_classes"] < model.num_classes).sum())
    rois = chosen(rows[:positives], rows[positives:])

    if kind == "mask":
        packed = golden[f"{case}.mask_targets_packed"]
        targets = np.unpackbits(packed, axis=1)[:, : 28 * 28].reshape(1, positives, 28, 28)
        padded = np.zeros([1, len(rows), 28, 28], np.float32)
        padded[:, :positives] = targets

        def mask_targets(y, boxes, *_, **__):
            return padded[:, : boxes.shape[1]]

        monkeypatch.setattr(mask_rcnn_losses, "mask_targets", mask_targets)
    samples = {"proposals": theirs[None], "anchors": anchors, "rois": rois}
    with tf.GradientTape() as tape:
        found = model.compute_losses(x, y, samples=samples)
        # Detectron2 divides by the size of the batch, ours by what is in it.
        fill = anchors.indices.shape[1] / expected["rpn_batch_per_image"]
        found |= {name: found[name] * fill for name in ("rpn_objectness_loss", "rpn_box_loss")}
        total = tf.add_n(list(found.values()))
    assert len(found) == 5
    for ours in found:
        assert float(found[ours]) == pytest.approx(expected[LOSSES[ours]], rel=1e-5), ours

    names = {id(variable): name for name, (variable, _) in detectron2_weights(model).items()}
    variables = model.trainable_variables
    gradients = tape.gradient(
        total, [variable.value for variable in variables], unconnected_gradients="zero"
    )
    norms = {
        names[id(variable)]: float(tf.norm(gradient))
        for variable, gradient in zip(variables, gradients, strict=True)
    }
    # Detectron2 with other convolution kernels differs from its own golden norms by 1e-4, and by
    # 8e-4 in the keypoint model.
    tolerance = {"mask": 5e-4, "keypoint": 1e-3}[kind]
    assert norms == pytest.approx(expected["grad_l2"], rel=tolerance, abs=1e-6)
