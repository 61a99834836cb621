"""Files for TensorBoard, which need no TensorBoard to be written."""

import io

import keras
import numpy as np
import tensorflow as tf

from mrcnn_tf.evaluation import CocoEvaluation
from mrcnn_tf.progress import since, stage_of
from mrcnn_tf.visualize import draw_beside_ground_truth

_RECALLS = 101  # of COCO's curves
# `PrCurvePluginData(num_thresholds=101)`, a message of TensorBoard's: field 2, a varint.
_CURVE = bytes([0x10, _RECALLS])


class TensorBoardLog(keras.callbacks.Callback):
    """Write scalars, pictures and precision-recall curves that TensorBoard shows.

    Losses (means since the epoch began), learning rate and images a second every few steps; what
    the logs of an epoch have besides, such as AP, at its end; after an evaluation curves, and
    predictions beside ground truth. The x axis is the optimizer's steps. `tf.summary` makes the
    same, but asks for TensorBoard, which TensorFlow no longer brings.

    Put it behind the callback that adds AP to the logs, and use it with `mrcnn_tf.training.fit`.

    Args:
        folder: for the event files.
        evaluation: whose curves and images are shown.
        every: steps between two scalars.
        images: how many.
    """

    chief_only = True

    def __init__(
        self,
        folder: str,
        evaluation: CocoEvaluation | None = None,
        every: int = 10,
        images: int = 8,
    ):
        super().__init__()
        self.folder = folder
        self.evaluation = evaluation
        self.every = every
        self.images = images

    def on_train_begin(self, logs=None):
        self._writer = tf.summary.create_file_writer(self.folder)
        self._before = self.params["progress"].figures()
        self._written = self._step()

    def on_train_batch_end(self, batch, logs=None):
        step = self._step()
        if step // self.every == self._written // self.every:
            return
        now = self.params["progress"].figures()
        values = {f"train/{name}": value for name, value in (logs or {}).items()}
        values["learning_rate"] = self.model.optimizer.learning_rate.numpy()
        values["images_per_second"] = since(now, self._before)["images_per_second"]
        self._before, self._written = now, step
        self._write_scalars(values, step)

    def on_epoch_end(self, epoch, logs=None):
        logs, step = logs or {}, self._step()
        self._write_scalars({f"epoch/{name}": value for name, value in logs.items()}, step)
        if self.evaluation is not None and "val_box_ap" in logs:
            with stage_of(self, "saving", "writing pictures for TensorBoard"):
                self._write_evaluation(step)
        self._writer.flush()

    def on_train_end(self, logs=None):
        self._writer.close()

    def _step(self) -> int:
        return int(self.model.optimizer.iterations.numpy())

    def _write_scalars(self, values: dict, step: int) -> None:
        for name, value in values.items():
            self._write(name, np.float32(value), "scalars", "DATA_CLASS_SCALAR", step)

    def _write_evaluation(self, step: int) -> None:
        for kind, curves in self.evaluation.last.precision.items():
            for name, precision in curves.items():
                self._write(
                    f"{kind}/IoU {name}", _curve(precision), "pr_curves", "DATA_CLASS_TENSOR", step
                )
        dataset = self.evaluation.dataset
        for image_id in dataset.image_ids[: self.images]:
            picture = draw_beside_ground_truth(self.evaluation.predictor, dataset, image_id)
            data = io.BytesIO()
            picture.save(data, "PNG")
            value = np.array([*map(str, picture.size), data.getvalue()], object)
            self._write(f"image {image_id}", value, "images", "DATA_CLASS_BLOB_SEQUENCE", step)

    def _write(self, name: str, value, plugin: str, kind: str, step: int) -> None:
        about = tf.compat.v1.SummaryMetadata(data_class=kind)
        about.plugin_data.plugin_name = plugin
        about.plugin_data.content = _CURVE if plugin == "pr_curves" else b""
        with self._writer.as_default():
            tf.summary.write(name, value, step=step, metadata=about)


def _curve(precision: list[float]) -> np.ndarray:
    """True and false positives, true and false negatives, precision and recall: `[6, 101]`.

    COCO's curves tell precision at given recalls alone; the counts, which TensorBoard shows at a
    point, are those of one object.
    """
    # TensorBoard draws them from the highest recall to the lowest.
    precision = np.array(precision[::-1])
    recall = np.linspace(1, 0, _RECALLS)
    false = np.divide(recall * (1 - precision), precision, where=precision > 0, out=0 * recall)
    counts = [recall, false, np.zeros(_RECALLS), 1 - recall]
    return np.stack([*counts, precision, recall]).astype(np.float32)
