import json
import os
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as mask_utils
from pycocotools.coco import COCO

from mrcnn_tf.evaluation.coco_metrics import coco_metrics, evaluated

# pycocotools 2.0.11 on the fake results that the COCO API publishes.
PUBLISHED = {
    "segm": "0.319545 0.562288 0.298927 0.387374 0.310183 0.326934 "
    "0.268230 0.415449 0.416839 0.469450 0.376759 0.381472",
    "bbox": "0.504581 0.696973 0.572982 0.585626 0.519400 0.501398 "
    "0.386813 0.593680 0.595353 0.639811 0.566421 0.564291",
    "keypoints": "0.504884 0.722772 0.633663 0.466337 0.750495 "
    "0.518182 0.727273 0.636364 0.466667 0.75",
}


def published_files(iou_type):
    root = os.environ.get("MRCNN_TF_DATA")
    if not root:
        pytest.skip("set MRCNN_TF_DATA to a folder that holds cocoeval/ to run this test")
    folder = Path(root) / "cocoeval"
    if iou_type == "keypoints":
        return folder / "keypoints/gt_dataset.json", folder / "keypoints/dt_dataset.json"
    return (
        folder / "instances_val2014_100.json",
        folder / f"instances_val2014_fake{iou_type}100_results.json",
    )


def rectangle(x, y, width, height, side=100):
    mask = np.zeros((side, side), np.uint8, order="F")
    mask[y : y + height, x : x + width] = 1
    return mask_utils.encode(mask)


def ground_truth(boxes):
    """One class, one 100 x 100 image a list of boxes (x, y, width, height)."""
    coco = COCO()
    coco.dataset = {
        "images": [
            {"id": i + 1, "file_name": f"{i}.png", "width": 100, "height": 100}
            for i in range(len(boxes))
        ],
        "categories": [{"id": 7, "name": "thing"}],
        "annotations": [
            {
                "id": 10 * image + index + 1,
                "image_id": image + 1,
                "category_id": 7,
                "bbox": list(box),
                "segmentation": rectangle(*box),
                "area": box[2] * box[3],
                "iscrowd": 0,
            }
            for image, image_boxes in enumerate(boxes)
            for index, box in enumerate(image_boxes)
        ],
    }
    coco.createIndex()
    return coco


def result(image_id, box, score):
    return {
        "image_id": image_id,
        "category_id": 7,
        "bbox": list(box),
        "segmentation": rectangle(*box),
        "score": score,
    }


@pytest.mark.parametrize("iou_type", ["segm", "bbox", "keypoints"])
def test_published_results_give_the_published_figures(iou_type):
    annotations, results = published_files(iou_type)
    coco = COCO(str(annotations))
    figures = coco_metrics(coco, json.loads(results.read_text()), iou_type)
    expected = [float(value) for value in PUBLISHED[iou_type].split()]
    np.testing.assert_allclose(list(figures.values()), expected, atol=1e-6)

    # Each figure is the area below its curve.
    curves = evaluated(coco, json.loads(results.read_text()), iou_type).precision()
    assert {name: len(curve) for name, curve in curves.items()} == {
        "0.50": 101,
        "0.75": 101,
        "mean": 101,
    }
    for name, figure in (("0.50", "ap50"), ("0.75", "ap75"), ("mean", "ap")):
        assert np.mean(curves[name]) == pytest.approx(figures[figure], abs=1e-9)
        assert (np.diff(curves[name]) <= 1e-12).all()

    if iou_type == "keypoints":
        wider = coco_metrics(coco, json.loads(results.read_text()), iou_type, sigmas=[0.2] * 17)
        assert wider["ap"] > figures["ap"]


@pytest.mark.parametrize("iou_type", ["segm", "bbox"])
def test_figures_known_by_hand(iou_type):
    # Two objects of 20 x 20. The best-scored result overlaps the first one with IoU
    # 20 * 16 / (20 * 20) = 0.8, the next one is a false positive, the last one is exact.
    coco = ground_truth([[(10, 10, 20, 20), (60, 60, 20, 20)]])
    results = [
        result(1, (10, 10, 20, 16), 0.9),
        result(1, (40, 10, 10, 10), 0.8),
        result(1, (60, 60, 20, 20), 0.7),
    ]
    before = [dict(item) for item in results]
    figures = coco_metrics(coco, results, iou_type)
    # At IoU .5 to .8 (7 of 10 thresholds) precision is 1 up to recall .5 (51 of 101 points), then
    # 2/3; at .85 to .95 only the third result counts: precision 1/3 up to recall .5.
    low = (51 + 50 * 2 / 3) / 101
    high = 51 / 3 / 101
    assert figures["ap50"] == pytest.approx(low)
    assert figures["ap75"] == pytest.approx(low)
    assert figures["ap"] == pytest.approx((7 * low + 3 * high) / 10)
    assert figures["ap_small"] == pytest.approx(figures["ap"])
    assert figures["ap_medium"] == figures["ap_large"] == -1
    assert figures["ar_1"] == pytest.approx(0.35)
    assert figures["ar"] == figures["ar_10"] == pytest.approx((7 * 1 + 3 * 0.5) / 10)
    assert results == before


def test_max_detections_other_than_100():
    columns = [(8 * (i % 12), 8 * (i // 12), 6, 6) for i in range(140)]
    coco = ground_truth([columns])
    results = [result(1, box, 0.99 - 0.001 * index) for index, box in enumerate(columns)]
    assert coco_metrics(coco, results, "segm")["ar"] == pytest.approx(100 / 140)
    assert coco_metrics(coco, results, "segm", max_detections=140)["ap"] == pytest.approx(1)
    few = coco_metrics(coco, results, "segm", max_detections=7)
    assert few["ar"] == pytest.approx(7 / 140)
    assert few["ar_10"] == pytest.approx(10 / 140)
    assert 0 < few["ap"] < 0.06


def test_nothing_detected_scores_zero():
    coco = ground_truth([[(10, 10, 20, 20)], []])
    for iou_type in ("bbox", "segm"):
        figures = coco_metrics(coco, [], iou_type)
        assert figures["ap"] == figures["ap50"] == figures["ar"] == figures["ap_small"] == 0


def test_image_ids_choose_the_images():
    coco = ground_truth([[(10, 10, 20, 20)], [(10, 10, 20, 20)]])
    results = [result(1, (10, 10, 20, 20), 0.9), result(2, (60, 60, 20, 20), 0.95)]
    assert coco_metrics(coco, results, "bbox", image_ids=[1])["ap"] == pytest.approx(1)
    assert coco_metrics(coco, results, "bbox", image_ids=[2])["ap"] == 0
    assert coco_metrics(coco, results, "bbox")["ap"] == pytest.approx(51 / 101 / 2)


def test_annotation_ids_may_start_at_zero():
    coco = ground_truth([[(10, 10, 20, 20)]])
    coco.dataset["annotations"][0]["id"] = 0
    coco.createIndex()
    figures = coco_metrics(coco, [result(1, (10, 10, 20, 20), 0.9)], "segm")
    assert figures["ap"] == pytest.approx(1)
    assert coco.dataset["annotations"][0]["id"] == 0


def test_errors_name_the_image_and_the_field():
    coco = ground_truth([[(10, 10, 20, 20)]])
    with pytest.raises(ValueError, match="names image 5"):
        coco_metrics(coco, [result(5, (1, 1, 5, 5), 0.5)], "bbox")
    with pytest.raises(ValueError, match="image 1 has no 'segmentation'"):
        coco_metrics(
            coco, [{"image_id": 1, "category_id": 7, "score": 1, "bbox": [0, 0, 1, 1]}], "segm"
        )
    coco.dataset["annotations"][0]["segmentation"] = []
    with pytest.raises(ValueError, match="annotation 1 of image 1 has no segmentation"):
        coco_metrics(coco, [], "segm")
    with pytest.raises(ValueError, match="iou_type"):
        coco_metrics(coco, [], "boxes")
    with pytest.raises(ValueError, match="max_detections must be at least 1, got 0"):
        coco_metrics(coco, [], "bbox", max_detections=0)


def posed_ground_truth():
    """A person with two joints, one whose joints nobody annotated, and a thing without joints."""
    coco = ground_truth([[(10, 10, 40, 40), (60, 60, 20, 20), (5, 70, 20, 20)]])
    coco.dataset["categories"] = [{"id": 7, "name": "thing"}, {"id": 1, "name": "person"}]
    coco.dataset["categories"][1]["keypoints"] = ["first", "last"]
    first, second, _ = coco.dataset["annotations"]
    first["category_id"] = second["category_id"] = 1
    first["keypoints"] = [20, 20, 2, 40, 40, 1]
    coco.createIndex()
    return coco


def pose(keypoints, score, category_id=1):
    return {"image_id": 1, "category_id": category_id, "score": score, "keypoints": keypoints}


def test_poses_known_by_hand():
    coco = posed_ground_truth()
    sigmas = [0.1, 0.05]
    exact = [pose([20, 20, 1, 40, 40, 1], 0.9), pose([1, 1, 1, 2, 2, 1], 0.99, category_id=7)]
    assert coco_metrics(coco, exact, "keypoints", sigmas=sigmas)["ap"] == pytest.approx(1)
    assert "keypoints" not in coco.dataset["annotations"][1], "the ground truth must stay"
    # The first joint is 8 px off: exp(-8^2 / (2 * 1600 * 0.2^2)) = 0.607, the second is exact:
    # a similarity of 0.803, enough for the thresholds 0.5 to 0.8, 7 of 10.
    off = [pose([28, 20, 1, 40, 40, 1], 0.9)]
    assert coco_metrics(coco, off, "keypoints", sigmas=sigmas)["ap"] == pytest.approx(0.7)
    # A pose on the person without joints is neither right nor wrong.
    on_both = [*exact[:1], pose([65, 65, 1, 70, 70, 1], 0.95)]
    assert coco_metrics(coco, on_both, "keypoints", sigmas=sigmas)["ap"] == pytest.approx(1)


def test_poses_that_do_not_fit_are_explained():
    coco = posed_ground_truth()
    with pytest.raises(
        ValueError, match="annotation 1 .* has 2 joints, but there are sigmas of 17"
    ):
        coco_metrics(coco, [], "keypoints")
    with pytest.raises(ValueError, match="result of image 1 has 1 joints, .* ground truth has 2"):
        coco_metrics(coco, [pose([1, 1, 1], 0.5)], "keypoints", sigmas=[0.1, 0.1])
    with pytest.raises(ValueError, match="no category of the ground truth has joints"):
        coco_metrics(ground_truth([[(10, 10, 20, 20)]]), [], "keypoints")
