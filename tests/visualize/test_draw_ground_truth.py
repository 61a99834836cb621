import json

import numpy as np
from PIL import Image

from mrcnn_tf.data import CocoDataset
from mrcnn_tf.visualize import draw_ground_truth


def test_annotations_are_drawn_where_they_are(tmp_path):
    Image.fromarray(np.full((60, 80, 3), 50, np.uint8)).save(tmp_path / "a.png")
    annotation = {"image_id": 3, "category_id": 7, "iscrowd": 0, "area": 100}
    content = {
        "images": [{"id": 3, "file_name": "a.png", "height": 60, "width": 80}],
        "categories": [{"id": 7, "name": "thing"}],
        "annotations": [
            {
                **annotation,
                "id": 1,
                "bbox": [10, 20, 20, 10],
                "segmentation": [[10, 20, 30, 20, 30, 30, 10, 30]],
            },
            {**annotation, "id": 2, "bbox": [50, 40, 10, 10]},
        ],
    }
    (tmp_path / "a.json").write_text(json.dumps(content))
    dataset = CocoDataset(tmp_path, tmp_path / "a.json")
    drawn = np.asarray(draw_ground_truth(dataset, 3, boxes=False, labels=False))
    expected = np.zeros((60, 80), bool)
    expected[20:30, 10:30] = True
    np.testing.assert_array_equal((drawn != 50).any(axis=-1), expected)
    boxes = np.asarray(draw_ground_truth(dataset, 3, labels=False))
    assert (boxes[40, 50:60] != 50).any(axis=-1).all()


def test_joints_are_drawn_on_their_pixels(tmp_path):
    """Visible and hidden ones of an object; an object of another class has none."""
    Image.fromarray(np.full((60, 80, 3), 50, np.uint8)).save(tmp_path / "a.png")
    common = {"image_id": 3, "iscrowd": 0, "area": 100}
    joints = [20, 20, 2, 60, 20, 1, 0, 0, 0]
    content = {
        "images": [{"id": 3, "file_name": "a.png", "height": 60, "width": 80}],
        "categories": [
            {"id": 7, "name": "person", "keypoints": ["a", "b", "c"], "skeleton": [[1, 2], [2, 3]]},
            {"id": 8, "name": "thing"},
        ],
        "annotations": [
            {**common, "id": 1, "category_id": 7, "bbox": [10, 10, 60, 20], "keypoints": joints},
            {**common, "id": 2, "category_id": 8, "bbox": [50, 40, 10, 10]},
        ],
    }
    (tmp_path / "a.json").write_text(json.dumps(content))
    dataset = CocoDataset(tmp_path, tmp_path / "a.json")
    drawn = np.asarray(draw_ground_truth(dataset, 3, boxes=False, labels=False)).astype(int)
    rows, columns = np.nonzero((drawn != 50).any(axis=-1))
    assert (drawn[20, 20:61] != 50).any(axis=-1).all()
    assert rows.min() >= 17 and rows.max() <= 23, "no limb goes to the joint that is not annotated"
    assert columns.min() >= 17 and columns.max() <= 64
    assert drawn[20, 60].min() > drawn[20, 20].min(), "a ring"
