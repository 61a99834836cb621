"""COCO average precision as part of `fit`."""

import os
from collections.abc import Sequence

import keras

from mrcnn_tf.data.coco_dataset import CocoDataset
from mrcnn_tf.evaluation.evaluate import (
    Evaluation,
    check_joints,
    checked_max_detections,
    evaluate_dataset,
)
from mrcnn_tf.models.predictor import Predictor
from mrcnn_tf.progress import stage_of

_REPORTED = tuple(f"{kind}_{ap}" for kind in ("box", "mask", "keypoint") for ap in ("ap", "ap50"))


class CocoEvaluation(keras.callbacks.Callback):
    """Measures COCO AP at the end of epochs and adds it to the logs.

    The logs get `val_box_ap`, `val_box_ap50` and, for a model with masks, `val_mask_ap` and
    `val_mask_ap50`, for one with joints `val_keypoint_ap` and `val_keypoint_ap50`. Callbacks that
    come *after* this one in the list can use them: `CSVLogger`, or `ModelCheckpoint` and
    `EarlyStopping` with `monitor="val_mask_ap", mode="max"`. In an epoch without evaluation the
    logs do not have these names. (`CSVLogger` takes its columns from the first epoch, so with
    `every` above 1 it leaves them out; the history has them.)

    Under a strategy of several workers these share the images, and all get the same figures.

    All figures of the last evaluation and their curves are in `last`.

    Args:
        images: folder of the images.
        annotations: COCO annotation file.
        batch_size: images a call of the model.
        every: evaluate after every n-th epoch, and after the last.
        max_detections: as in `evaluate`.
        size: as in `evaluate`.
        image_ids: the images to evaluate on: ids, or n for the first n; all if not given.
        progress: show a progress bar, on standard error.
        keypoint_annotations: as in `evaluate`.
        keypoint_sigmas: as in `evaluate`.

    Raises:
        FileNotFoundError: at construction, if the annotations or images are missing.
        ValueError: at construction, if the annotations cannot be used; before the first epoch, if
            the model gives fewer than `max_detections`, or its joints cannot be measured.

    Example:

    ```python
    model.fit(
        train,
        epochs=12,
        callbacks=[
            CocoEvaluation("images", "annotations/val.json"),
            keras.callbacks.ModelCheckpoint(
                "best.keras", monitor="val_mask_ap", mode="max", save_best_only=True
            ),
        ],
    )
    ```
    """

    def __init__(
        self,
        images: str | os.PathLike,
        annotations: str | os.PathLike,
        batch_size: int = 4,
        every: int = 1,
        max_detections: int | None = None,
        size: int | tuple[int, int] | None = None,
        image_ids: Sequence[int] | int | None = None,
        progress: bool = False,
        keypoint_annotations: str | os.PathLike | None = None,
        keypoint_sigmas: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        if every < 1:
            raise ValueError(f"every must be at least 1, got {every}")
        self.dataset = CocoDataset(
            images, annotations, image_ids=image_ids, keypoint_annotations=keypoint_annotations
        )
        self.batch_size = batch_size
        self.every = every
        self.max_detections = max_detections
        self.size = size
        self.progress = progress
        self.keypoint_sigmas = keypoint_sigmas
        self.last: Evaluation | None = None
        self.predictor: Predictor | None = None

    def on_train_begin(self, logs=None):
        checked_max_detections(self.model, self.max_detections)
        check_joints(self.model, self.dataset, self.keypoint_sigmas)

    def on_epoch_end(self, epoch, logs=None):
        is_last = epoch + 1 == self.params.get("epochs")
        if logs is None or ((epoch + 1) % self.every and not is_last):
            return
        # Kept from epoch to epoch, so that the model is traced once.
        if self.predictor is None or self.predictor.model is not self.model:
            self.predictor = Predictor(self.model, score_threshold=0.0, size=self.size)
        progress = self.params.get("progress")

        def report(done: int) -> None:
            if progress is not None:
                progress.enter("evaluation", f"evaluating, image {done} of {len(self.dataset)}")

        with stage_of(self, "evaluation", "evaluating"):
            self.last = evaluate_dataset(
                self.predictor,
                self.dataset,
                self.batch_size,
                self.max_detections,
                self.progress,
                self.keypoint_sigmas,
                self.model.distribute_strategy,
                report,
            )
        figures = self.last.figures
        logs.update({f"val_{name}": figures[name] for name in _REPORTED if name in figures})
