import io

import numpy as np
import tensorflow as tf
from PIL import Image

from mrcnn_tf.evaluation import CocoEvaluation
from mrcnn_tf.progress import Progress
from mrcnn_tf.training import TensorBoardLog
from tests.evaluation.fake_model import BrightRectangle, write_dataset


def events(folder):
    """`(step, tag)` to plugin and value of all events."""
    found = {}
    for path in folder.iterdir():
        for record in tf.data.TFRecordDataset(str(path)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            for value in event.summary.value:
                plugin = value.metadata.plugin_data.plugin_name
                found[event.step, value.tag] = plugin, tf.make_ndarray(value.tensor)
    return found


def test_scalars_curves_and_pictures(tmp_path):
    (tmp_path / "data").mkdir()
    model = BrightRectangle()
    model.compile(optimizer="sgd")
    evaluation = CocoEvaluation(*write_dataset(tmp_path / "data"))
    callback = TensorBoardLog(str(tmp_path / "log"), evaluation, every=2, images=1)
    for each in (evaluation, callback):
        each.set_model(model)
        each.set_params({"epochs": 1, "progress": Progress()})
    callback.on_train_begin()
    for step in range(1, 6):
        model.optimizer.iterations.assign(step)
        callback.on_train_batch_end(step - 1, {"loss": 1.0 / step})
    logs = {"loss": 0.25}
    evaluation.on_epoch_end(0, logs)
    callback.on_epoch_end(0, logs)
    callback.on_train_end()

    found = events(tmp_path / "log")
    losses = {step: float(x) for (step, tag), (_, x) in found.items() if tag == "train/loss"}
    assert losses == {2: 0.5, 4: 0.25}
    assert found[4, "learning_rate"] == ("scalars", np.float32(0.01))
    assert found[5, "epoch/val_mask_ap50"][1] == 1
    plugin, curve = found[5, "mask/IoU 0.50"]
    assert plugin == "pr_curves" and curve.shape == (6, 101)
    np.testing.assert_allclose(curve[4], 1)  # every object is found
    np.testing.assert_allclose(curve[5], np.linspace(1, 0, 101), atol=1e-6)
    plugin, (width, height, data) = found[5, "image 100"]
    picture = Image.open(io.BytesIO(data))
    assert plugin == "images" and picture.size == (int(width), int(height)) == (2 * 64 + 8, 48)
