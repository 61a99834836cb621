import numpy as np
import pytest

from mrcnn_tf.data.batching import padded_fields
from mrcnn_tf.visualize import draw_batch
from tests.data.colored_samples import colored_sample, grown, pixels_of

SAMPLE = colored_sample(2, colors=(1, 2, 4))


def batch(sample):
    fields = padded_fields(sample, 5, None)
    fields = {name: value[None] for name, value in fields.items()}
    return {name: fields[name] for name in ("images", "image_sizes")}, fields


@pytest.mark.parametrize("side", [None, 60])
def test_masks_are_drawn_on_their_objects_and_padding_is_left_out(side):
    x, y = batch(SAMPLE)
    y.pop("keypoints")
    (plain,) = draw_batch(x, {**y, "classes": y["classes"] * 0 - 1}, longest_side=side)
    (drawn,) = draw_batch(x, y, boxes=False, labels=False, longest_side=side)
    assert drawn.size == ((120, 90) if side is None else (60, 45))
    plain, changed = np.asarray(plain), np.asarray(drawn) != np.asarray(plain)
    found = np.any([pixels_of(plain, color) for color in (1, 2, 4)], axis=0)
    assert (changed.any(axis=-1) & ~grown(found)).sum() == 0
    assert (found & ~grown(changed.any(axis=-1))).sum() == 0


def test_boxes_labels_and_joints_are_drawn():
    x, y = batch(SAMPLE)
    names, limbs = ["middle", "left", "right"], [(0, 1), (0, 2)]
    pictures = [
        draw_batch(x, y, boxes=False, labels=False, keypoint_names=names, skeleton=limbs),
        draw_batch(x, y, labels=False, keypoint_names=names, skeleton=limbs),
        draw_batch(x, y, [f"class {i}" for i in range(8)], keypoint_names=names, skeleton=limbs),
        draw_batch(x, {k: v for k, v in y.items() if k != "keypoints"}),
    ]
    assert len({picture[0].tobytes() for picture in pictures}) == 4
    without_masks = {k: v for k, v in y.items() if k not in ("masks", "mask_shapes", "mask_boxes")}
    assert draw_batch(x, without_masks)[0].size == (120, 90)
