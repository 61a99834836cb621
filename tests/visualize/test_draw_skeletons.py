import numpy as np
from PIL import Image

from mrcnn_tf.visualize import draw_instances
from mrcnn_tf.visualize.draw_skeletons import draw_skeleton

NAMES = ["neck", "left_hand", "right_hand", "tail"]
SKELETON = [(0, 1), (0, 2), (1, 2), (0, 3)]
JOINTS = np.float32([[60, 20, 0.9], [100, 60, 0.5], [20, 60, 0.7], [0, 0, 0]])


def drawn(keypoints=JOINTS, skeleton=SKELETON, names=NAMES, side=120, **options):
    image = Image.fromarray(np.full((side, side, 3), 120, np.uint8))
    draw_skeleton(image, keypoints, skeleton, names, **options)
    return np.asarray(image).astype(int)


def changed(pixels):
    return (pixels != 120).any(axis=-1)


def test_limbs_lie_between_their_joints_in_the_colour_of_their_side():
    pixels = drawn(thickness=3)
    left, right, between = pixels[40, 80], pixels[40, 40], pixels[60, 60]
    assert left[2] > left[0] + 50, "blue"
    assert right[0] > right[2] + 50, "red"
    assert between[1] > max(between[0], between[2]) + 20, "green"
    # Nothing but the limbs and their edges: each pixel is near a line between two joints.
    ys, xs = np.nonzero(changed(pixels))
    points = np.stack([xs, ys], axis=-1) + 0.5
    nearest = np.full(len(points), np.inf)
    for a, b in SKELETON[:3]:
        start, along = JOINTS[a, :2], JOINTS[b, :2] - JOINTS[a, :2]
        part = np.clip((points - start) @ along / (along @ along), 0, 1)
        distance = np.linalg.norm(points - start - part[:, None] * along, axis=-1)
        nearest = np.minimum(nearest, distance)
    assert nearest.max() < 5 and len(points) > 300
    assert not changed(pixels)[:8, :8].any(), "a joint without score has no limb"


def test_joints_alone_and_threshold():
    dots = changed(drawn(skeleton=(), thickness=3))
    assert dots[20, 60] and dots[60, 100] and dots[60, 20] and not dots[40, 80]
    sure = changed(drawn(threshold=0.6, thickness=3))
    assert sure[20, 60] and sure[40, 40] and not sure[60, 100] and not sure[40, 80]
    assert not changed(drawn(threshold=0.95)).any()
    assert not changed(drawn(np.zeros((4, 3), np.float32), threshold=0.0)).any()


def test_hidden_joints_are_rings_with_thin_limbs():
    hidden = np.array([False, True, False, False])
    seen, ring = (drawn(hidden=h, thickness=6) for h in (None, hidden))
    assert (ring[60, 100] > 240).all() and not (seen[60, 100] > 240).all()
    np.testing.assert_array_equal(ring[20, 60], seen[20, 60])
    assert changed(ring)[:, 81].sum() < changed(seen)[:, 81].sum()


def test_edges_are_smooth_and_joints_may_lie_outside():
    assert len(np.unique(drawn(thickness=2.0)[40], axis=0)) > 6
    outside = drawn(JOINTS + np.float32([60, -30, 0]))
    assert changed(outside).any()
    assert not changed(drawn(JOINTS + np.float32([500, 500, 0]))).any()
    without_sides = drawn(names=["a", "b", "c", "d"])
    assert changed(without_sides).any()


def test_instances_with_joints():
    prediction = {
        "boxes": np.float32([[10, 10, 110, 70], [10, 10, 110, 70]]),
        "classes": np.int32([0, 1]),
        "scores": np.float32([0.9, 0.3]),
        "keypoints": np.stack([JOINTS, np.zeros_like(JOINTS)]),
    }
    image = np.full((120, 120, 3), 120, np.uint8)
    options = {"boxes": False, "labels": False, "skeleton": SKELETON, "keypoint_names": NAMES}
    both = np.asarray(draw_instances(image, prediction, **options)).astype(int)
    assert changed(both)[40, 80] and (image == 120).all()
    one = draw_instances(image, prediction, score_threshold=0.5, **options)
    np.testing.assert_array_equal(np.asarray(one), both)
    sure = draw_instances(image, prediction, keypoint_threshold=0.6, **options)
    assert not changed(np.asarray(sure))[60, 100]
    joints_alone = draw_instances(image, prediction, boxes=False, labels=False)
    assert changed(np.asarray(joints_alone)).sum() < changed(both).sum()
    nothing = draw_instances(image, prediction, score_threshold=0.95, **options)
    assert not changed(np.asarray(nothing)).any()
