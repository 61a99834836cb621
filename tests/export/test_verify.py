import numpy as np
import pytest

from mrcnn_tf.export.canvas import CanvasPredictor, on_canvas
from mrcnn_tf.export.runtimes import SavedModelRuntime
from mrcnn_tf.export.verify import (
    Tolerances,
    check_same_model,
    compare,
    faults,
    match,
    reference,
    summarize,
)
from mrcnn_tf.models import Predictor
from mrcnn_tf.ops import resize_image

from .conftest import blocks

BOXES = np.float32([[0, 0, 10, 10], [20, 0, 40, 10], [20, 0, 40, 10], [0, 20, 10, 40]])


def outputs(boxes, classes, scores, rows=6):
    """Detections of one image, with padding behind them."""
    count = len(boxes)
    found = {
        "boxes": np.zeros((1, rows, 4), np.float32),
        "classes": np.full((1, rows), -1, np.int32),
        "scores": np.zeros((1, rows), np.float32),
        "masks": np.zeros((1, rows, 28, 28), np.float32),
        "keypoints": np.zeros((1, rows, 2, 3), np.float32),
        "num_detections": np.int32([count]),
    }
    for name, values in (("boxes", boxes), ("classes", classes), ("scores", scores)):
        found[name][0, :count] = values
    found["masks"][0, :count] = 1.0
    return found


def test_objects_are_matched_within_their_class():
    expected = {"boxes": BOXES, "classes": np.int32([0, 1, 0, 2])}
    order = [3, 2, 0]
    found = {"boxes": BOXES[order] + 1, "classes": expected["classes"][order]}
    assert match(expected, found).tolist() == [[0, 2], [2, 1], [3, 0]]
    # Each is taken once, by the one that overlaps more.
    near = {"boxes": BOXES[[0, 0]] + np.float32([[0], [2]]), "classes": np.int32([0, 0])}
    other = {"boxes": BOXES[[0]] + 2, "classes": np.int32([0])}
    assert match(near, other).tolist() == [[1, 0]]
    nothing = {"boxes": np.zeros((0, 4), np.float32), "classes": np.int32([])}
    assert match(nothing, found).shape == match(found, nothing).shape == (0, 2)


def test_differences_are_those_of_matched_objects():
    expected = outputs(BOXES[[0, 1, 3]], [0, 1, 2], [0.9, 0.8, 0.7])
    row = compare(expected, expected, (40, 40))
    same = {"expected": 3, "found": 3, "matched": 3}
    assert row == {**same, "boxes_px": 0, "scores": 0, "mask_iou": 1.0, "joints_px": 0}

    found = outputs(BOXES[[1, 0]] + np.float32([[0, 0, 0.5, 0]]), [1, 0], [0.75, 0.9])
    found["keypoints"][0, 0, 1] = [3, -4, 0.5]
    found["masks"][0, 1, :14] = 0.0  # of 10 rows of pixels five are left
    row = compare(expected, found, (40, 40))
    assert (row["expected"], row["found"], row["matched"]) == (3, 2, 2)
    assert row["boxes_px"] == 0.5 and row["scores"] == pytest.approx(0.05)
    assert row["mask_iou"] == pytest.approx(0.5, abs=0.03) and row["joints_px"] == 4

    empty = outputs(BOXES[:0], [], [])
    assert compare(empty, empty, (40, 40))["mask_iou"] == 1.0
    assert compare(empty, found, (40, 40))["matched"] == 0


def test_the_verdict_names_what_is_beyond_a_tolerance():
    good = {"expected": 3, "found": 3, "matched": 3, "boxes_px": 0.01, "scores": 1e-5}
    good |= {"mask_iou": 1.0, "joints_px": None}
    figures = summarize([good, {**good, "boxes_px": 0.02, "mask_iou": 0.996}], [900, 30, 10])
    assert figures["images"] == 2 and figures["expected"] == 6 and figures["ms"] == 20
    assert (figures["boxes_px"], figures["mask_iou"], figures["joints_px"]) == (0.02, 0.996, None)
    assert faults(figures, Tolerances()) == []
    assert faults({**figures, "scores": float("nan")}, Tolerances()) == ["scores nan > 0.0001"]
    moved = {**good, "matched": 2, "boxes_px": 0.06, "mask_iou": 0.99, "joints_px": 2.0}
    figures = summarize([good, moved], [10])
    figures |= {"ap": {"box_ap": 0.5}, "model_ap": {"box_ap": 0.502}}
    assert faults(figures, Tolerances()) == [
        "other detections in 1 images",
        "boxes 0.06 px > 0.05",
        "joints 2 px > 0.05",
        "mask IoU 0.9900 < 0.995",
        "box ap off by 0.0020 > 0.001",
    ]
    loose = Tolerances(boxes=0.1, mask_iou=0.9, joints=3, ap=0.01)
    assert faults(figures, loose) == ["other detections in 1 images"]


def test_images_lie_on_the_canvas():
    small, large = blocks(1, 40, 64)[0], blocks(1, 192, 128)[0]
    canvas, sizes = on_canvas(small, (96, 128))
    assert sizes.tolist() == [[40, 64]] and sizes.dtype == np.int32
    np.testing.assert_array_equal(canvas[0, :40, :64], small)
    assert canvas.shape == (1, 96, 128, 3) and not canvas[0, 40:].any()
    assert on_canvas(large, (96, 128))[1].tolist() == [[96, 64]]
    # The pixels of the model's own resizing, or an AP would differ for no fault of the export.
    photo = np.random.default_rng(0).integers(0, 256, [100, 80, 3], np.uint8)
    np.testing.assert_array_equal(on_canvas(photo, (60, 48))[0][0], resize_image(photo, 48, 60))


@pytest.mark.slow  # tests/cli/test_verify.py has a smaller one
def test_an_export_beside_its_model(tiny_model, exported):
    with SavedModelRuntime(exported) as runtime:
        check_same_model(tiny_model, runtime, "cells/1")
        image = blocks(1, 96, 110)[0]
        canvas, sizes = on_canvas(image, runtime.size)
        row = compare(
            reference(tiny_model, runtime.size)(canvas, sizes),
            runtime(canvas, sizes),
            image.shape[:2],
        )
        assert row["expected"] == row["found"] == row["matched"] > 0
        assert row["boxes_px"] < 1e-3 and row["mask_iou"] > 0.99

        # A large image: boxes come back in its own pixels.
        photo = blocks(1, 150, 200)[0]
        [found] = CanvasPredictor(runtime, tiny_model, runtime.size).predict_batch([photo])
        [expected] = Predictor(tiny_model, score_threshold=0.0).predict_batch([photo])
        assert sorted(found) == sorted(expected)
        assert found["boxes"][:, 2].max() > 128 and found["keypoints"].shape[1:] == (3, 3)

        runtime.labels = {**runtime.labels, "class_names": ["a", "b", "c"]}
        with pytest.raises(
            ValueError, match=r"cells/1 is not an export.*class_names is \['a', 'b'"
        ):
            check_same_model(tiny_model, runtime, "cells/1")
