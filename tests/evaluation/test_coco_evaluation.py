import keras
import numpy as np
import pytest

from mrcnn_tf.evaluation import CocoEvaluation
from mrcnn_tf.progress import Progress
from tests.evaluation.fake_model import BrightRectangle, write_dataset


def fit(model, callbacks, epochs):
    # The optimizer is never used; Keras wants `compile` before `fit`.
    model.compile(optimizer="sgd")
    return model.fit(
        np.zeros((2, 1), np.float32), epochs=epochs, verbose=0, callbacks=callbacks
    ).history


class FindNothing(keras.callbacks.Callback):
    """Switches the detections off in the given epochs, counted from 0."""

    def __init__(self, *epochs):
        super().__init__()
        self.epochs = epochs

    def on_epoch_begin(self, epoch, logs=None):
        self.model.finds.assign(int(epoch not in self.epochs))


def test_later_callbacks_see_the_figures(tmp_path):
    files = write_dataset(tmp_path)
    best = tmp_path / "best.weights.h5"
    checkpoint = keras.callbacks.ModelCheckpoint(
        best, monitor="val_mask_ap50", mode="max", save_best_only=True, save_weights_only=True
    )
    stop = keras.callbacks.EarlyStopping("val_box_ap50", mode="max", patience=1)
    log = keras.callbacks.CSVLogger(tmp_path / "log.csv")
    history = fit(
        BrightRectangle(), [FindNothing(2, 3), CocoEvaluation(*files), checkpoint, stop, log], 4
    )
    for name in ("val_box_ap50", "val_mask_ap50"):
        np.testing.assert_allclose(history[name], [1, 1])
    assert len(history["val_box_ap"]) == len(history["val_mask_ap"]) == 2
    assert checkpoint.best == pytest.approx(1) and best.exists()
    assert stop.stopped_epoch == 1
    assert "val_mask_ap" in (tmp_path / "log.csv").read_text()


def test_every_nth_epoch_and_the_last(tmp_path):
    files = write_dataset(tmp_path)
    epochs = {}
    record = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: epochs.update({epoch: dict(logs)})
    )
    history = fit(
        BrightRectangle(mask=False),
        [FindNothing(3), CocoEvaluation(*files, every=2, batch_size=2), record],
        5,
    )
    assert [epoch for epoch, logs in epochs.items() if "val_box_ap" in logs] == [1, 3, 4]
    np.testing.assert_allclose(history["val_box_ap50"], [1, 0, 1])
    assert not [name for name in history if "mask" in name]


def test_joints(tmp_path):
    files = write_dataset(tmp_path, keypoints=True)
    history = fit(
        BrightRectangle(keypoints=2), [CocoEvaluation(*files, keypoint_sigmas=[0.2, 0.2])], 1
    )
    assert history["val_keypoint_ap50"] == history["val_mask_ap50"] == [pytest.approx(1)]
    assert 0.7 < history["val_keypoint_ap"][0] <= 1
    with pytest.raises(ValueError, match="needs keypoint_sigmas"):
        fit(BrightRectangle(keypoints=2), [CocoEvaluation(*files)], 1)


def test_errors_come_before_the_first_epoch(tmp_path):
    files = write_dataset(tmp_path)
    with pytest.raises(FileNotFoundError, match="missing.json"):
        CocoEvaluation(tmp_path, tmp_path / "missing.json")
    with pytest.raises(ValueError, match="every must be at least 1, got 0"):
        CocoEvaluation(*files, every=0)
    started = []
    record = keras.callbacks.LambdaCallback(on_epoch_begin=lambda *_: started.append(1))
    with pytest.raises(ValueError, match=r"MaskRCNN\(max_detections=3\)"):
        fit(BrightRectangle(), [CocoEvaluation(*files, max_detections=9), record], 1)
    assert not started


def test_the_last_evaluation_is_kept_and_told_while_it_runs(tmp_path):
    told = []

    class Recorder(Progress):
        def enter(self, part, doing, *only_from):
            told.append((part, doing))
            super().enter(part, doing, *only_from)

    model, progress = BrightRectangle(), Recorder()
    model.compile(optimizer="sgd")
    evaluation = CocoEvaluation(*write_dataset(tmp_path), batch_size=2)
    evaluation.set_model(model)
    evaluation.set_params({"epochs": 1, "progress": progress})
    evaluation.on_epoch_end(0, {})
    images = [doing for part, doing in told if part == "evaluation" and "image" in doing]
    assert images == [f"evaluating, image {done} of 5" for done in (0, 2, 4, 5)]
    assert progress.part == "other"
    assert evaluation.last.figures["mask_ap_small"] == pytest.approx(1)
    assert evaluation.last.precision["mask"]["0.50"] == pytest.approx([1.0] * 101)
