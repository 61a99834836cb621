import io

import numpy as np
import pytest
from PIL import Image

from mrcnn_tf.visualize import instance_map


def test_higher_scores_lie_on_top_and_numbers_are_rows():
    masks = np.zeros((3, 4, 6), np.uint8)
    masks[0, :, :3] = 1
    masks[1, :2] = 1
    masks[2, 1, 5] = 1
    numbers = instance_map({"image_masks": masks, "scores": np.array([0.9, 0.8, 0.3])})
    assert numbers.dtype == np.uint16
    assert numbers.tolist() == [
        [1, 1, 1, 2, 2, 2],
        [1, 1, 1, 2, 2, 2],
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
    ]
    reversed_scores = instance_map({"image_masks": masks, "scores": np.array([0.1, 0.2, 0.3])})
    assert reversed_scores[1].tolist() == [2, 2, 2, 2, 2, 3]
    assert not instance_map({"image_masks": masks[:0], "scores": np.zeros(0)}).any()


def test_more_than_255_instances_survive_a_png():
    masks = np.eye(400, dtype=np.uint8).reshape(400, 20, 20)
    file = io.BytesIO()
    Image.fromarray(instance_map({"image_masks": masks, "scores": np.ones(400)})).save(file, "PNG")
    np.testing.assert_array_equal(np.asarray(Image.open(file)).ravel(), np.arange(1, 401))


def test_boxes_alone_are_refused():
    with pytest.raises(ValueError, match="needs image_masks"):
        instance_map({"boxes": np.zeros((0, 4))})
