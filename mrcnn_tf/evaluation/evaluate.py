"""COCO average precision of a model on a dataset."""

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.progress import track

from mrcnn_tf import replicas
from mrcnn_tf.data.coco_dataset import CocoDataset
from mrcnn_tf.data.image_files import read_image
from mrcnn_tf.evaluation.coco_metrics import evaluated
from mrcnn_tf.evaluation.coco_results import coco_results
from mrcnn_tf.models.predictor import Predictor
from mrcnn_tf.ops.resize_image import resized_shape

COCO_MAX_DETECTIONS = 100
COCO_MAX_POSES = 20
COCO_JOINTS = 17  # for which pycocotools has sigmas


def evaluate(
    model: Callable,
    images: str | os.PathLike,
    annotations: str | os.PathLike,
    batch_size: int = 4,
    max_detections: int | None = None,
    size: int | tuple[int, int] | None = None,
    image_ids: Sequence[int] | int | None = None,
    progress: bool = True,
    keypoint_annotations: str | os.PathLike | None = None,
    keypoint_sigmas: Sequence[float] | None = None,
) -> dict[str, float]:
    """COCO AP of a model's boxes, and of its masks and joints if it has any.

    Predictions are compared at the original size of the images, down to the model's own
    `score_threshold`, resized and pasted as by `Predictor`. Images of similar shape share a batch,
    so that little of it is padding.

    Args:
        model: a `MaskRCNN`.
        images: folder of the images.
        annotations: COCO annotation file.
        batch_size: images a call of the model.
        max_detections: the best-scored results that count in an image and class. Default: COCO's
            own 100. Images with more objects than that need more, and a model that gives as many.
        size: `(short_side, long_side)` to resize images to, or an integer. Default: the model's
            `image_size`.
        image_ids: the images to evaluate on: ids, or n for the first n; all if not given.
        progress: show a progress bar, on standard error.
        keypoint_annotations: see `CocoDataset`.
        keypoint_sigmas: see `coco_metrics`; needed for other joints than COCO's 17.

    Returns:
        `images`, `max_detections`, and each figure of `coco_metrics` with `box_`, `mask_` and
        `keypoint_` in front: `box_ap`, `box_ap50`, ..., `keypoint_ap`, `keypoint_ap50`, ... There
        are no mask figures for a model without masks or a dataset without any segmentation, and no
        keypoint figures for a model or a dataset without joints. Of poses, at most COCO's 20 count
        in an image and class.

    Raises:
        FileNotFoundError: the annotations or an image are missing.
        ValueError: a damaged image or annotation, `max_detections` above what the model gives, a
            model that has no class in common with the dataset or another number of joints, or
            joints without sigmas.

    Example:

    ```python
    import mrcnn_tf

    model = mrcnn_tf.load("model.keras")
    mrcnn_tf.evaluation.evaluate(model, "images", "annotations/val.json")["mask_ap"]
    ```
    """
    dataset = CocoDataset(
        images, annotations, image_ids=image_ids, keypoint_annotations=keypoint_annotations
    )
    predictor = Predictor(model, score_threshold=0.0, size=size)
    return evaluate_dataset(
        predictor, dataset, batch_size, max_detections, progress, keypoint_sigmas
    ).figures


class Evaluation(NamedTuple):
    """What `evaluate` measures, and the curves behind it.

    Attributes:
        figures: what `evaluate` returns.
        precision: by `box`, `mask` and `keypoint`, where they are measured, what
            `mrcnn_tf.evaluation.coco_metrics.Evaluated.precision` returns.
    """

    figures: dict[str, float]
    precision: dict[str, dict[str, list[float]]]


def evaluate_dataset(
    predictor: Predictor,
    dataset: CocoDataset,
    batch_size: int = 4,
    max_detections: int | None = None,
    progress: bool = True,
    keypoint_sigmas: Sequence[float] | None = None,
    strategy: tf.distribute.Strategy | None = None,
    report: Callable[[int], None] = lambda done: None,
) -> Evaluation:
    """`evaluate` for a predictor and a dataset that exist already, to use them more than once.

    The workers of a `strategy` share the images; all of them get the figures of all images.
    `report` is called with the number of images that are done, of this worker's.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    max_detections = checked_max_detections(predictor.model, max_detections)
    category_ids = dataset_category_ids(predictor.model, dataset)
    has_joints = check_joints(predictor.model, dataset, keypoint_sigmas)
    # Predictions without a class in the dataset cannot count; pycocotools ignores them.
    results, has_masks = [], getattr(predictor.model, "mask", True)
    worker = replicas.worker(strategy)
    batches = _batches(dataset, predictor, batch_size)[worker.index :: worker.count]
    done = 0
    report(done)
    for ids, arrays in track(
        _one_ahead(lambda ids: (ids, [_read(dataset, i) for i in ids]), batches),
        description=f"evaluating {len(dataset)} images",
        total=len(batches),
        console=Console(stderr=True),
        disable=not progress or worker.index > 0,
    ):
        predictions = predictor.predict_batch(arrays)
        for image_id, image, prediction in zip(ids, arrays, predictions, strict=True):
            has_masks = has_masks and "masks" in prediction
            results += coco_results(
                prediction,
                image_id,
                category_ids,
                *image.shape[:2],
                whole_pixels=predictor.whole_pixel_masks,
            )
        done += len(ids)
        report(done)
    results = replicas.gather(strategy, results)

    measured = {"box": "bbox"}
    if has_masks and any(a.get("segmentation") for a in dataset.coco.dataset["annotations"]):
        measured["mask"] = "segm"
    if has_joints:
        measured["keypoint"] = "keypoints"
    figures, precision = {"images": len(dataset), "max_detections": max_detections}, {}
    for name, iou_type in measured.items():
        limit = min(max_detections, COCO_MAX_POSES) if name == "keypoint" else max_detections
        found = evaluated(
            dataset.coco, results, iou_type, limit, dataset.image_ids, keypoint_sigmas
        )
        figures.update({f"{name}_{key}": value for key, value in found.figures().items()})
        precision[name] = found.precision()
    return Evaluation(figures, precision)


def checked_max_detections(model: Callable, max_detections: int | None) -> int:
    """The number of detections an image to evaluate, refused if the model gives fewer."""
    limit = getattr(model, "max_detections", None)
    if max_detections is None:
        return COCO_MAX_DETECTIONS if limit is None else min(COCO_MAX_DETECTIONS, limit)
    if max_detections < 1:
        raise ValueError(f"max_detections must be at least 1, got {max_detections}")
    if limit is not None and max_detections > limit:
        raise ValueError(
            f"max_detections={max_detections} is more than the model gives: it was built with "
            f"MaskRCNN(max_detections={limit}). Build it with a higher max_detections, or "
            f"evaluate with at most {limit}"
        )
    return max_detections


def check_joints(
    model: Callable, dataset: CocoDataset, keypoint_sigmas: Sequence[float] | None
) -> bool:
    """Whether joints can be measured: model and dataset have some.

    Raises:
        ValueError: they have other numbers of joints, or there are other numbers of sigmas.
    """
    count = getattr(model, "keypoints", 0)
    if not count or not dataset.keypoint_classes:
        return False
    names = dataset.keypoint_names
    if len(names) != count:
        raise ValueError(
            f"the model has {count} joints, {dataset.annotation_file} has {len(names)}: evaluate "
            "on data with the joints that the model was trained on"
        )
    sigmas = COCO_JOINTS if keypoint_sigmas is None else len(keypoint_sigmas)
    if sigmas != count:
        given = "the default is that of COCO's 17" if keypoint_sigmas is None else f"got {sigmas}"
        raise ValueError(
            f"keypoint AP of {count} joints needs keypoint_sigmas, {count} numbers: how far a "
            "joint may be off, in parts of the root of the object's area (COCO: 0.026 for a nose, "
            f"0.107 for a hip); {given}"
        )
    return True


def dataset_category_ids(model: Callable, dataset: CocoDataset) -> list[int]:
    """The dataset's category id of each class of the model.

    A model that was not told its `category_ids` numbers them 1, 2, ...; if it has as many classes
    as the dataset, they are those of the dataset in the order of their ids, as in training.
    """
    num_classes = model.num_classes
    ids = getattr(model, "category_ids", None) or list(range(1, num_classes + 1))
    own_ids = list(dataset.category_ids)
    if list(ids) == list(range(1, num_classes + 1)) and num_classes == len(own_ids):
        return own_ids
    shared = set(ids) & set(own_ids)
    if not shared:
        raise ValueError(
            f"the model has no class in common with {dataset.annotation_file}: its category_ids "
            f"are {_shortened(ids)}, those of the dataset are {_shortened(own_ids)}. Build the "
            "model with the category_ids of the dataset it was trained on"
        )
    # Names that were not given say nothing.
    given = [None if n == f"class {i}" else n for i, n in enumerate(model.class_names or [])]
    names = {i: name for i, name in zip(ids, given, strict=False) if name is not None}
    for category_id, name in zip(own_ids, dataset.class_names, strict=True):
        if category_id in shared and names.get(category_id, name).lower() != name.lower():
            warnings.warn(
                f"category {category_id} is {names[category_id]!r} to the model and {name!r} in "
                f"{dataset.annotation_file}: if these are different things, AP means nothing",
                stacklevel=3,
            )
            break
    return list(ids)


def _batches(dataset: CocoDataset, predictor: Predictor, batch_size: int) -> list[list[int]]:
    def shape(image_id: int) -> tuple[int, int]:
        return resized_shape(*dataset.size(image_id), *predictor.size, predictor.image_resize)

    by_shape = sorted(dataset.image_ids, key=shape)
    return [by_shape[i : i + batch_size] for i in range(0, len(by_shape), batch_size)]


def _read(dataset: CocoDataset, image_id: int) -> np.ndarray:
    image = read_image(dataset.path(image_id))
    if image.shape[:2] != dataset.size(image_id):
        height, width = dataset.size(image_id)
        raise ValueError(
            f"image {dataset.path(image_id)} (id {image_id}) is {image.shape[0]} x "
            f"{image.shape[1]} pixels (height x width), its annotations say {height} x {width}: "
            "use the file that was annotated, or correct them"
        )
    return image


def _one_ahead(function: Callable, items: list) -> Iterator:
    """`map` that computes the next value in a thread while the current one is used."""
    if not items:
        return
    with ThreadPoolExecutor(max_workers=1) as pool:
        following = pool.submit(function, items[0])
        for item in items[1:]:
            current, following = following, pool.submit(function, item)
            yield current.result()
            del current
        yield following.result()


def _shortened(ids: list[int]) -> str:
    return ", ".join(map(str, ids[:5])) + (", ..." if len(ids) > 5 else "")
