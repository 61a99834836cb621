"""COCO average precision and recall, by name."""

import contextlib
import io
from typing import NamedTuple

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

# The field of a result that each kind of comparison reads. Results are cut down to it because
# pycocotools takes a detection's area from its box whenever there is one, and so would sort the
# masks of ap_small, ap_medium and ap_large by the area of their boxes.
_RESULT_FIELD = {"bbox": "bbox", "segm": "segmentation", "keypoints": "keypoints"}


def coco_metrics(
    ground_truth: COCO,
    results: list[dict],
    iou_type: str = "bbox",
    max_detections: int | None = None,
    image_ids: list | None = None,
    sigmas: list[float] | None = None,
) -> dict[str, float]:
    """COCO's detection figures of `results` against `ground_truth`.

    The matching and the curves are pycocotools' own (`COCOeval`). The summary is not:
    `COCOeval.summarize` looks for exactly 100 detections an image and answers -1 for `ap` at any
    other number, while images with more than 100 objects need a higher one.

    Args:
        ground_truth: the annotations, as `pycocotools.coco.COCO`.
        results: dictionaries in COCO's result format: `image_id`, `category_id`, `score` and,
            by `iou_type`, `bbox` (x, y, width, height), `segmentation` (RLE) or `keypoints`.
            They are not modified. An empty list is a model that found nothing: it scores 0.
        iou_type: `"bbox"`, `"segm"` or `"keypoints"`.
        max_detections: the best-scored results that count in an image and class. Default: COCO's
            own, 100, or 20 for keypoints.
        image_ids: evaluate these images only. Default: every image of `ground_truth`.
        sigmas: for keypoints, one standard deviation a joint of the object keypoint similarity,
            relative to the root of the object's area. Default: COCO's, for its 17 joints.

    Returns:
        A dictionary of floats in COCO's order. Boxes and masks: `ap`, `ap50`, `ap75`, `ap_small`,
        `ap_medium`, `ap_large`, `ar_1`, `ar_10`, `ar`, `ar_small`, `ar_medium`, `ar_large`, where
        `ar_1` and `ar_10` are the recall at 1 and 10 detections, `ar` at `max_detections`.
        Keypoints: `ap`, `ap50`, `ap75`, `ap_medium`, `ap_large`, `ar`, `ar50`, `ar75`,
        `ar_medium`, `ar_large`. A figure that has no object to be measured on (no small object
        in the data, for instance) is -1, as in COCO.

    Raises:
        ValueError: for an unknown `iou_type`, a `max_detections` below 1, an annotation without a
            mask where masks are compared, a number of joints that is not that of `sigmas`, or a
            result that names an image which the ground truth does not have or that lacks a field.

    Example:

    ```python
    from pycocotools.coco import COCO
    from mrcnn_tf.evaluation import coco_metrics

    ground_truth = COCO("annotations/val.json")
    coco_metrics(ground_truth, results, "segm", max_detections=400)["ap"]
    ```
    """
    return evaluated(ground_truth, results, iou_type, max_detections, image_ids, sigmas).figures()


class Evaluated(NamedTuple):
    """What pycocotools has counted, and how many detections an image it has counted to."""

    evaluator: COCOeval
    max_detections: int

    def figures(self) -> dict[str, float]:
        """As `coco_metrics` returns them."""
        return _summary(self.evaluator, self.max_detections)

    def precision(self) -> dict[str, list[float]]:
        """Precision at COCO's 101 recalls 0, 0.01, ..., 1, as the mean over classes.

        Returns:
            By the IoU of a match (of joints: the object keypoint similarity): `"0.50"`, `"0.75"`
            and `"mean"`, over 0.50, 0.55, ..., 0.95. The mean of such a curve is the AP of that
            name. Empty if there is no object.
        """
        parameters = self.evaluator.params
        table = self.evaluator.eval["precision"][
            ..., parameters.areaRngLbl.index("all"), parameters.maxDets.index(self.max_detections)
        ]  # [thresholds, recalls, classes], -1 in classes without an object
        table = table[..., (table > -1).all(axis=(0, 1))]
        if not table.size:
            return {}
        curves = {
            f"{iou:.2f}": table[np.isclose(parameters.iouThrs, iou)][0].mean(axis=-1)
            for iou in (0.5, 0.75)
        }
        curves["mean"] = table.mean(axis=(0, 2))
        return {name: curve.tolist() for name, curve in curves.items()}


def evaluated(
    ground_truth: COCO,
    results: list[dict],
    iou_type: str = "bbox",
    max_detections: int | None = None,
    image_ids: list | None = None,
    sigmas: list[float] | None = None,
) -> Evaluated:
    """`coco_metrics` with the curves that its figures are made of."""
    if iou_type not in _RESULT_FIELD:
        raise ValueError(f"iou_type must be one of {list(_RESULT_FIELD)}, got {iou_type!r}")
    if max_detections is None:
        max_detections = 20 if iou_type == "keypoints" else 100
    if max_detections < 1:
        raise ValueError(f"max_detections must be at least 1, got {max_detections}")

    with contextlib.redirect_stdout(io.StringIO()):
        ground_truth = _checked(ground_truth, iou_type)
        evaluator = COCOeval(
            ground_truth, _load_results(ground_truth, results, iou_type), iouType=iou_type
        )
        parameters = evaluator.params
        if image_ids is not None:
            parameters.imgIds = sorted(image_ids)
        if iou_type == "keypoints":
            parameters.maxDets = [max_detections]
            parameters.catIds = _categories_with_joints(ground_truth)
            if sigmas is not None:
                parameters.kpt_oks_sigmas = np.asarray(sigmas, dtype=np.float64)
            _check_joints(ground_truth, results, parameters)
        else:
            # COCOeval matches as many detections as the last entry says.
            parameters.maxDets = sorted({1, 10, max_detections})
        evaluator.evaluate()
        evaluator.accumulate()
    return Evaluated(evaluator, max_detections)


def _checked(ground_truth: COCO, iou_type: str) -> COCO:
    annotations = ground_truth.dataset["annotations"]
    if iou_type == "segm":
        for annotation in annotations:
            if not annotation.get("segmentation"):
                raise ValueError(
                    f"annotation {annotation['id']} of image {annotation['image_id']} has no "
                    "segmentation, which mask AP needs: add it, or remove the annotation"
                )
    changed = annotations
    if iou_type == "keypoints":
        changed = _with_joints(ground_truth)
    if 0 in ground_truth.anns:
        # COCOeval writes down the id of the matched annotation and takes 0 for no match.
        changed = [{**annotation, "id": i + 1} for i, annotation in enumerate(changed)]
    if changed is annotations:
        return ground_truth
    copied = COCO()
    copied.dataset = {**ground_truth.dataset, "annotations": changed}
    copied.createIndex()
    return copied


def _categories_with_joints(ground_truth: COCO) -> list[int]:
    return [c["id"] for c in ground_truth.dataset["categories"] if c.get("keypoints")]


def _with_joints(ground_truth: COCO) -> list[dict]:
    """The annotations of categories with joints; COCOeval reads the joints of each."""
    joints = {c["id"]: c.get("keypoints") for c in ground_truth.dataset["categories"]}
    annotations = []
    for annotation in ground_truth.dataset["annotations"]:
        names = joints.get(annotation["category_id"])
        if names:
            keypoints = annotation.get("keypoints") or [0, 0, 0] * len(names)
            count = sum(v > 0 for v in keypoints[2::3])
            annotations.append({"num_keypoints": count, **annotation, "keypoints": keypoints})
    return annotations


def _check_joints(ground_truth: COCO, results: list[dict], parameters) -> None:
    if not parameters.catIds:
        raise ValueError(
            "no category of the ground truth has joints, a list of names `keypoints`, which "
            "keypoint AP needs"
        )
    count, kinds = len(parameters.kpt_oks_sigmas), set(parameters.catIds)
    for annotation in ground_truth.dataset["annotations"]:
        if len(annotation["keypoints"]) != 3 * count:
            raise ValueError(
                f"annotation {annotation['id']} of image {annotation['image_id']} has "
                f"{len(annotation['keypoints']) / 3:g} joints, but there are sigmas of {count}: "
                "give one sigma a joint (the default is that of COCO's 17 joints)"
            )
    for result in results:
        if result["category_id"] in kinds and len(result["keypoints"]) != 3 * count:
            raise ValueError(
                f"a result of image {result['image_id']} has {len(result['keypoints']) / 3:g} "
                f"joints, but the ground truth has {count}"
            )


def _load_results(ground_truth: COCO, results: list[dict], iou_type: str) -> COCO:
    field = _RESULT_FIELD[iou_type]
    known = set(ground_truth.getImgIds())
    needed = ("image_id", "category_id", "score", field)
    for result in results:
        missing = [name for name in needed if name not in result]
        if missing:
            raise ValueError(
                f"a result of image {result.get('image_id')} has no {missing[0]!r}, which "
                f"iou_type={iou_type!r} needs"
            )
        if result["image_id"] not in known:
            raise ValueError(
                f"a result names image {result['image_id']!r}, which the ground truth does not "
                "have: were the results made from another annotation file?"
            )
    if results:
        return ground_truth.loadRes([{name: result[name] for name in needed} for result in results])
    # loadRes fails on an empty list.
    empty = COCO()
    empty.dataset = {
        "images": ground_truth.dataset["images"],
        "categories": ground_truth.dataset["categories"],
        "annotations": [],
    }
    empty.createIndex()
    return empty


def _summary(evaluator: COCOeval, max_detections: int) -> dict[str, float]:
    parameters = evaluator.params
    areas = parameters.areaRngLbl
    keypoints = parameters.iouType == "keypoints"

    def mean(kind, iou=None, area="all", detections=max_detections):
        # precision [thresholds, recalls, classes, areas, detections], recall without `recalls`
        table = evaluator.eval[kind]
        table = table[..., areas.index(area), parameters.maxDets.index(detections)]
        if iou is not None:
            table = table[np.isclose(parameters.iouThrs, iou)]
        table = table[table > -1]
        return float(table.mean()) if table.size else -1.0

    summary = {
        "ap": mean("precision"),
        "ap50": mean("precision", 0.5),
        "ap75": mean("precision", 0.75),
    }
    summary.update({f"ap_{area}": mean("precision", area=area) for area in areas[1:]})
    if keypoints:
        summary["ar"] = mean("recall")
        summary["ar50"] = mean("recall", 0.5)
        summary["ar75"] = mean("recall", 0.75)
    else:
        summary["ar_1"] = mean("recall", detections=1)
        summary["ar_10"] = mean("recall", detections=10)
        summary["ar"] = mean("recall")
    summary.update({f"ar_{area}": mean("recall", area=area) for area in areas[1:]})
    return summary
