import numpy as np
import pytest
from PIL import Image

from mrcnn_tf.visualize import draw_instances
from mrcnn_tf.visualize.colors import instance_color, text_color


def prediction(boxes, scores=None, side=200):
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    masks = np.zeros((len(boxes), side, side), np.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes.astype(int), strict=True):
        mask[y1:y2, x1:x2] = 1
    return {
        "boxes": boxes,
        "classes": np.arange(len(boxes), dtype=np.int32),
        "scores": np.linspace(0.9, 0.6, len(boxes)) if scores is None else np.array(scores),
        "image_masks": masks,
    }


def changed(drawn, image):
    return np.any(np.asarray(drawn) != image, axis=-1)


def test_masks_are_tinted_and_outlined():
    image = np.full((200, 200, 3), 100, np.uint8)
    found = prediction([[20, 40, 60, 90]])
    drawn = draw_instances(image, found, boxes=False, labels=False, alpha=0.5)
    pixels = np.asarray(drawn)
    np.testing.assert_array_equal(changed(drawn, image), found["image_masks"][0] == 1)
    color = np.array(instance_color(0))
    np.testing.assert_array_equal(pixels[40, 30], color)
    np.testing.assert_array_equal(pixels[60, 20], color)
    np.testing.assert_allclose(pixels[60, 40], (100 + color) / 2, atol=1)
    assert (image == 100).all(), "the image that was given must stay as it is"


def test_boxes_outline_their_pixels_and_stay_in_the_image():
    image = np.zeros((200, 200, 3), np.uint8)
    found = prediction([[20, 40, 60, 90], [150, 150, 230, 260]])
    del found["image_masks"]
    drawn = changed(draw_instances(image, found, labels=False), image)
    expected = np.zeros((200, 200), bool)
    expected[40, 20:60] = expected[89, 20:60] = expected[40:90, 20] = expected[40:90, 59] = True
    expected[150, 150:] = expected[199, 150:] = expected[150:, 150] = expected[150:, 199] = True
    np.testing.assert_array_equal(drawn, expected)


def test_labels_name_class_and_score():
    image = np.zeros((200, 200, 3), np.uint8)
    found = prediction([[50, 100, 150, 180]])
    bare = np.asarray(draw_instances(image, found, labels=False))
    named = [
        changed(draw_instances(image, found, names, boxes=True), bare)
        for names in (["cat"], ["a much longer name"])
    ]
    rows, columns = np.nonzero(named[0])
    assert rows.max() < 100 and rows.min() >= 80, "the label stands on the box"
    assert columns.min() >= 50
    assert named[1].sum() > 2 * named[0].sum()
    without_scores = {name: value for name, value in found.items() if name != "scores"}
    assert changed(draw_instances(image, without_scores, ["cat"]), bare).sum() < named[0].sum()
    with pytest.raises(ValueError, match="class 0 has no name"):
        draw_instances(image, found, [])


def test_labels_do_not_hide_small_objects():
    image = np.zeros((200, 200, 3), np.uint8)
    grid = [[x, y, x + 9, y + 9] for y in range(0, 200, 10) for x in range(0, 200, 10)]
    found = prediction(grid)
    bare = np.asarray(draw_instances(image, found, labels=False))
    labelled = draw_instances(image, found, [f"object {i}" for i in range(400)])
    np.testing.assert_array_equal(np.asarray(labelled), bare)


def test_small_instances_lie_on_large_ones_and_the_threshold_counts():
    image = np.zeros((200, 200, 3), np.uint8)
    found = prediction([[0, 0, 200, 200], [80, 80, 120, 120], [10, 10, 30, 30]], [0.9, 0.7, 0.3])
    drawn = np.asarray(
        draw_instances(image, found, score_threshold=0.5, alpha=1, boxes=False, labels=False)
    )
    assert tuple(drawn[100, 100]) == instance_color(1)
    assert tuple(drawn[20, 20]) == instance_color(0)
    nothing = draw_instances(Image.fromarray(image), prediction([]))
    assert not np.asarray(nothing).any() and nothing.mode == "RGB"


def test_masks_of_another_size_are_refused():
    with pytest.raises(ValueError, match="image_masks are 200 x 200 pixels.* is 100 x 120"):
        draw_instances(np.zeros((100, 120, 3), np.uint8), prediction([[0, 0, 5, 5]]))


def test_colors_are_distinct_and_visible_on_black():
    colors = [instance_color(i) for i in range(12)]
    assert colors == [instance_color(i) for i in range(12)]
    distance = np.abs(
        np.subtract.outer(np.array(colors), np.array(colors))[:, range(3), :, range(3)]
    )
    distance = distance.sum(axis=0) + 1000 * np.eye(12)
    assert distance.min() > 60
    for color in map(instance_color, range(300)):
        assert 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2] > 75
    assert text_color((255, 255, 0)) == (0, 0, 0)
    assert text_color((90, 0, 160)) == (255, 255, 255)
