"""A small model trained on the device, and the speed of a large one."""

import math
import time
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

from mrcnn_tf import MaskRCNN

POLICIES = ("float32", "mixed_bfloat16")
SMALL = {
    "backbone": "resnet18",
    "num_classes": 3,
    "backbone_channels": 16,
    "fpn_channels": 32,
    "anchor_sizes": (8, 16, 32, 64, 128),
    "rpn_pre_nms_top_n": (128, 128),
    "rpn_post_nms_top_n": (128, 64),
    "anchors_per_image": 64,
    "rois_per_image": 64,
    "roi_canonical_size": 56,
    "box_fc": (64,),
    "mask_channels": 16,
    "mask_convs": 1,
    "max_detections": 20,
}
LARGE = {"backbone": "resnet50", "num_classes": 80}


def train_small_models(on_gpu: bool, steps: int = 20) -> Iterator[dict]:
    """Trains a small model from scratch, once for each policy, where TensorFlow places it.

    Args:
        on_gpu: whether its weights have to lie on a GPU.
        steps: of `fit`.

    Yields:
        A dict of `policy`, `steps`, `first_loss`, `last_loss`, `seconds`, `device` of the weights
        and `passed`: every loss and every weight is finite, and the device is the right one.
    """
    for policy in POLICIES:
        keras.utils.set_random_seed(0)
        model = MaskRCNN(**SMALL, dtype=policy)
        model.compile(optimizer=keras.optimizers.Adam(1e-3))
        losses = _Losses()
        start = time.perf_counter()
        batches = _repeated(random_batch(2, 128, 192, objects=5, num_classes=3))
        model.fit(batches, steps_per_epoch=steps, shuffle=False, verbose=0, callbacks=[losses])
        weights = [variable.numpy() for variable in model.trainable_variables]
        is_finite = len(losses.seen) == steps and all(map(math.isfinite, losses.seen))
        device = model.trainable_variables[0].value.device
        yield {
            "policy": policy,
            "steps": steps,
            "first_loss": losses.seen[0],
            "last_loss": losses.seen[-1],
            "seconds": time.perf_counter() - start,
            "device": device,
            "passed": is_finite
            and all(np.isfinite(weight).all() for weight in weights)
            and ("GPU" in device) == on_gpu,
        }


def measure_speed(batch_size: int, steps: int, is_quick: bool) -> Iterator[dict]:
    """Images a second at 800 x 1333, from a batch that is in memory already.

    Args:
        batch_size: images in a batch.
        steps: batches that are timed, after three that are not.
        is_quick: a small model at 128 x 192 instead.

    Yields:
        A dict of `what` (`training`, `inference`), `policy`, `batch_size`, `height`, `width`,
        `steps`, `model` (its arguments) and `images_per_second`.
    """
    arguments = SMALL if is_quick else LARGE
    height, width = (128, 192) if is_quick else (800, 1333)
    for policy in POLICIES:
        keras.utils.set_random_seed(0)
        model = MaskRCNN(**arguments, dtype=policy)
        # So slow that weights from scratch stay finite.
        model.compile(optimizer=keras.optimizers.SGD(1e-6, momentum=0.9))
        x, y = random_batch(batch_size, height, width, 20, arguments["num_classes"])
        batches = _repeated((x, y))
        row = {"policy": policy, "batch_size": batch_size, "height": height, "width": width}
        row |= {"steps": steps, "model": arguments}
        for what, run, inputs in (("training", _fit, batches), ("inference", _predict, x)):
            run(model, inputs, 3)
            start = time.perf_counter()
            run(model, inputs, steps)
            seconds = time.perf_counter() - start
            yield {"what": what, **row, "images_per_second": batch_size * steps / seconds}
        del model
        keras.backend.clear_session()


def random_batch(batch: int, height: int, width: int, objects: int, num_classes: int):
    """`(x, y)` as `mrcnn_tf.data.coco` gives them: bright rectangles on noise, masks all set."""
    rng = np.random.default_rng(0)
    padded = [-(-side // 32) * 32 for side in (height, width)]
    images = rng.integers(0, 60, (batch, *padded, 3), dtype=np.uint8)
    boxes = np.zeros((batch, objects, 4), np.float32)
    classes = rng.integers(0, num_classes, (batch, objects)).astype(np.int32)
    shapes = np.zeros((batch, objects, 2), np.int32)
    masks = []
    for image in range(batch):
        crops = []
        for index in range(objects):
            w, h = (int(side * rng.uniform(0.05, 0.4)) for side in (width, height))
            x, y = rng.integers(0, width - w), rng.integers(0, height - h)
            images[image, y : y + h, x : x + w, classes[image, index] % 3] = 230
            boxes[image, index] = x, y, x + w, y + h
            shapes[image, index] = h, w
            crops.append(np.packbits(np.ones(h * w, np.uint8)))
        masks.append(np.concatenate(crops))
    longest = max(map(len, masks))
    y = {
        "boxes": boxes,
        "classes": classes,
        "is_crowd": np.zeros((batch, objects), bool),
        "image_id": np.arange(batch, dtype=np.int64),
        "masks": np.stack([np.pad(row, (0, longest - len(row))) for row in masks]),
        "mask_shapes": shapes,
        "mask_boxes": boxes.copy(),
    }
    x = {"images": images, "image_sizes": np.tile(np.int32([[height, width]]), (batch, 1))}
    return tf.nest.map_structure(tf.constant, (x, y))


class _Losses(keras.callbacks.Callback):
    """The mean loss up to each step; it is not finite from the first loss on that is not."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append(float(logs["loss"]))


def _repeated(batch) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensors(batch).repeat().prefetch(2)


def _fit(model, batches, steps: int) -> None:
    model.fit(batches, steps_per_epoch=steps, shuffle=False, verbose=0)


def _predict(model, x, steps: int) -> None:
    for _ in range(steps):
        # The detections have to be there: a GPU is only asked to begin otherwise.
        detections = model.predict_on_batch(x)
    np.asarray(detections["scores"])
