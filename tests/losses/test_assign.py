import importlib
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from mrcnn_tf.losses import assign, learnable
from mrcnn_tf.ops import implementation

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "detectron2_units.npz")
POSITIVE, NEGATIVE, IGNORED = 1, 0, -1
LEFT, RIGHT = [0.0, 0, 10, 10], [20.0, 0, 30, 10]
NOTHING = [0.0, 0, 0, 0]


def objects(boxes, classes=None, is_crowd=None):
    """Targets of one image."""
    count = len(boxes)
    return {
        "boxes": tf.reshape(tf.constant(boxes, tf.float32), [1, count, 4]),
        "classes": tf.constant([[0] * count if classes is None else classes], tf.int32),
        "is_crowd": tf.constant([[False] * count if is_crowd is None else is_crowd], tf.bool),
    }


def labels_and_matches(candidates, targets, high=0.5, low=0.5, low_quality=False):
    labels, matches = assign(
        tf.reshape(tf.constant(candidates, tf.float32), [-1, 4]), targets, high, low, low_quality
    )
    return labels[0].numpy().tolist(), matches[0].numpy().tolist()


def test_thresholds_and_matches():
    # IoU with LEFT: 1, 0.5 (on the threshold), 0.4, 0.2, 0; the last one overlaps RIGHT.
    candidates = [LEFT, [0, 0, 10, 5], [0, 0, 10, 4], [0, 0, 2, 10], [40, 40, 50, 50], RIGHT]
    targets = objects([LEFT, RIGHT], classes=[3, 5])
    assert labels_and_matches(candidates, targets) == ([1, 1, 0, 0, 0, 1], [0, 0, 0, 0, 0, 1])
    labels, _ = labels_and_matches(candidates, targets, high=0.5, low=0.3)
    assert labels == [1, 1, IGNORED, 0, 0, 1]
    # The best candidate of an object is positive whatever its IoU, if that is asked for.
    weak = [[0, 0, 10, 4], [0, 0, 2, 10], [40, 40, 50, 50]]
    assert labels_and_matches(weak, targets, 0.7, 0.3)[0] == [IGNORED, 0, 0]
    assert labels_and_matches(weak, targets, 0.7, 0.3, low_quality=True)[0] == [1, 0, 0]


def test_what_is_learnable():
    targets = objects(
        [LEFT, LEFT, LEFT, [5, 5, 5, 9], [9, 9, 1, 1]],
        classes=[0, -1, 2, 2, 2],
        is_crowd=[False, False, True, False, False],
    )
    assert learnable(targets).numpy().tolist() == [[True, False, False, False, False]]
    # A candidate equal to an object that is padding or has no area does not become positive.
    for row in (1, 3):
        alone = {name: value[:, row : row + 1] for name, value in targets.items()}
        box = alone["boxes"][0, 0].numpy()
        assert labels_and_matches([box, LEFT], alone, low_quality=True)[0] == [NEGATIVE] * 2


def test_candidates_inside_a_crowd_are_no_background():
    crowd = [0.0, 0, 100, 100]
    candidates = [
        [10, 10, 20, 20],  # wholly inside; IoU 0.01
        [90, 0, 104, 10],  # 71 % inside
        [90, 0, 105, 10],  # 67 % inside
        crowd,
        [50, 50, 60, 60],  # an object inside the crowd is still an object
        NOTHING,
    ]
    targets = objects([crowd, [50, 50, 60, 60]], classes=[1, 1], is_crowd=[True, False])
    labels, matches = labels_and_matches(candidates, targets)
    assert labels == [IGNORED, IGNORED, NEGATIVE, IGNORED, POSITIVE, NEGATIVE]
    assert matches[4] == 1
    only_crowd = objects([crowd], is_crowd=[True])
    assert labels_and_matches(candidates[:3], only_crowd, 0.7, 0.3, True)[0] == [-1, -1, 0]


def test_padding_and_absence_of_objects():
    candidates = [LEFT, RIGHT]
    padded = objects([LEFT, NOTHING, NOTHING], classes=[4, -1, -1])
    assert labels_and_matches(candidates, padded) == labels_and_matches(candidates, objects([LEFT]))
    all_padding = objects([NOTHING] * 3, classes=[-1] * 3)
    assert labels_and_matches(candidates, all_padding, 0.7, 0.3, True) == ([0, 0], [0, 0])
    no_rows = objects([])
    assert labels_and_matches(candidates, no_rows, 0.7, 0.3, True) == ([0, 0], [0, 0])
    assert labels_and_matches([], padded) == ([], [])


def test_images_of_a_batch_do_not_see_each_other():
    targets = {
        "boxes": tf.constant([[LEFT, RIGHT], [RIGHT, NOTHING]]),
        "classes": tf.constant([[0, 0], [1, -1]]),
        "is_crowd": tf.constant([[False, True], [False, False]]),
    }
    anchors = tf.constant([LEFT, RIGHT, [22.0, 2, 28, 8]])
    expected = [[POSITIVE, IGNORED, IGNORED], [NEGATIVE, POSITIVE, NEGATIVE]]
    labels, matches = assign(anchors, targets, 0.5, 0.5, False)
    assert labels.numpy().tolist() == expected
    assert labels.dtype == matches.dtype == tf.int32
    # Candidates of each image are the same thing as anchors shared by all.
    proposals = tf.tile(anchors[None], [2, 1, 1])
    traced = tf.function(
        lambda boxes, targets: assign(boxes, targets, 0.5, 0.5, False),
        input_signature=[
            tf.TensorSpec([None, None, 4]),
            {
                "boxes": tf.TensorSpec([None, None, 4]),
                "classes": tf.TensorSpec([None, None], tf.int32),
                "is_crowd": tf.TensorSpec([None, None], tf.bool),
            },
        ],
        autograph=False,
    )
    assert traced(proposals, targets)[0].numpy().tolist() == expected
    np.testing.assert_array_equal(traced(proposals, targets)[1], matches)


@pytest.mark.parametrize(
    ("case", "thresholds", "low_quality"),
    [
        ("rpn", (0.7, 0.3), True),
        ("rpn_no_low_quality", (0.7, 0.3), False),
        ("roi", (0.5, 0.5), False),
    ],
)
def test_equals_detectron2(case, thresholds, low_quality, monkeypatch):
    """On its IoU matrix, without the object that overlaps no anchor.

    With that object Detectron2's low-quality rule makes every anchor of IoU 0 positive; here, as
    in torchvision's later versions, such an object promotes none.
    """
    num_objects, num_anchors = GOLDEN["matcher.iou"][:3].shape
    iou = tf.constant(GOLDEN["matcher.iou"][:3])
    module = importlib.import_module("mrcnn_tf.ops.match_boxes")
    monkeypatch.setattr(module, "pairwise_iou", lambda boxes, anchors: iou[None])
    with implementation("plain"):
        labels, matches = assign(
            tf.tile([[0.0, 0, 1, 1]], [num_anchors, 1]),
            objects([LEFT] * num_objects),
            *thresholds,
            low_quality,
        )
    wanted = GOLDEN[f"matcher.{case}.drop_empty_gt.label"]
    np.testing.assert_array_equal(labels[0], wanted)
    is_positive = wanted == 1
    np.testing.assert_array_equal(
        matches[0][is_positive], GOLDEN[f"matcher.{case}.drop_empty_gt.idx"][is_positive]
    )
