import json
import os
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as mask_utils

from mrcnn_tf.data import CocoDataset, find_keypoints, find_split
from mrcnn_tf.data.keypoints import read_keypoints
from mrcnn_tf.evaluation.coco_metrics import coco_metrics
from mrcnn_tf.evaluation.coco_results import coco_results


def test_results_have_the_datasets_ids_and_pasted_masks():
    masks = np.zeros((2, 28, 28), np.float32)
    masks[0] = 1
    masks[1, :, :14] = 1
    prediction = {
        "boxes": np.array([[10, 20, 40, 60], [0, 0, 56, 28]], np.float32),
        "classes": np.array([1, 0], np.int32),
        "scores": np.array([0.75, 0.5], np.float32),
        "masks": masks,
    }
    results = coco_results(prediction, 17, [3, 90], height=80, width=70)
    assert json.loads(json.dumps(results)) == results
    assert [r["category_id"] for r in results] == [90, 3]
    assert results[0]["image_id"] == 17
    assert results[0]["bbox"] == [10, 20, 30, 40]
    assert results[0]["score"] == 0.75
    first, second = (mask_utils.decode(r["segmentation"]) for r in results)
    expected = np.zeros((80, 70), np.uint8)
    expected[20:60, 10:40] = 1
    np.testing.assert_array_equal(first, expected)
    assert second[:28, :28].all() and second.sum() == 28 * 28
    # torchvision moves the box to whole pixels, outwards here.
    whole = coco_results(prediction, 17, [3, 90], height=80, width=70, whole_pixels=True)
    whole = mask_utils.decode(whole[0]["segmentation"])
    np.testing.assert_array_equal(np.flatnonzero(whole[:, 30]), np.arange(19, 61))
    np.testing.assert_array_equal(np.flatnonzero(whole[30]), np.arange(9, 41))


def test_no_detections_and_no_masks():
    empty = {
        "boxes": np.zeros((0, 4), np.float32),
        "classes": np.zeros(0, np.int32),
        "scores": np.zeros(0, np.float32),
    }
    assert coco_results(empty, 1, [1], 10, 10) == []
    empty["masks"] = np.zeros((0, 28, 28), np.float32)
    assert coco_results(empty, 1, [1], 10, 10) == []
    one = {
        "boxes": np.ones((1, 4), np.float32),
        "classes": np.zeros(1, np.int32),
        "scores": np.ones(1, np.float32),
    }
    assert "segmentation" not in coco_results(one, 1, [1], 10, 10)[0]


def test_joints_are_written_as_coco_counts_pixels():
    prediction = {
        "boxes": np.array([[10, 20, 40, 60], [0, 0, 56, 28]], np.float32),
        "classes": np.array([1, 0], np.int32),
        "scores": np.array([0.75, 0.5], np.float32),
        "keypoints": np.zeros((2, 3, 3), np.float32),
    }
    prediction["keypoints"][0] = [[12.5, 20.5, 0.5], [30, 40, 0.25], [0.5, 0.5, 0.125]]
    results = coco_results(prediction, 17, [3, 90], height=80, width=70)
    assert json.loads(json.dumps(results)) == results
    assert results[0]["keypoints"] == [12, 20, 0.5, 29.5, 39.5, 0.25, 0, 0, 0.125]
    assert results[1]["keypoints"] == [0] * 9
    # What is read from annotations comes out as it was written there.
    written = [4, 5, 2, 20, 12, 1, 0, 0, 0]
    prediction["keypoints"][1] = read_keypoints({"keypoints": written}, 3)
    results = coco_results(prediction, 17, [3, 90], height=80, width=70)
    assert results[1]["keypoints"][:6] == written[:6]
    nothing = {name: value[:0] for name, value in prediction.items()}
    assert coco_results(nothing, 17, [3, 90], 80, 70) == []


def test_joints_of_photos_are_perfect_results_whichever_file_they_are_from():
    root = os.environ.get("MRCNN_TF_DATA")
    if not root:
        pytest.skip("set MRCNN_TF_DATA to a folder that holds coco_mini/ to run this test")
    images, instances = find_split(Path(root) / "coco_mini", "instances_train2017")
    merged = CocoDataset(images, instances, keypoint_annotations=find_keypoints(instances))
    assert merged.num_classes == 80 and merged.keypoint_classes == [0]
    results = []
    for image_id in merged.image_ids:
        persons = [a for a in merged.annotations(image_id) if a.get("num_keypoints")]
        joints = [read_keypoints(a, 17) for a in persons]
        prediction = {
            "boxes": np.float32([merged.box(a) for a in persons]).reshape(-1, 4),
            "classes": np.zeros(len(persons), np.int32),
            "scores": np.ones(len(persons), np.float32),
            "keypoints": np.float32(joints).reshape(-1, 17, 3),
        }
        size = merged.size(image_id)
        results += coco_results(prediction, image_id, merged.category_ids, *size)
    figures = coco_metrics(merged.coco, results, "keypoints")
    assert figures["ap"] == figures["ap75"] == figures["ar_medium"] == pytest.approx(1)
    for result in results:  # an eighth of the box's height: wrong for eyes, less so for hips
        result["keypoints"][1::3] = [y + result["bbox"][3] / 8 for y in result["keypoints"][1::3]]
    alone = CocoDataset(images, find_keypoints(instances))
    figures = coco_metrics(merged.coco, results, "keypoints")
    assert 0 < figures["ap50"] < 0.9
    assert coco_metrics(alone.coco, results, "keypoints") == figures
