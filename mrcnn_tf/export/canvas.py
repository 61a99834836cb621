"""Images of any size for functions of one size."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from mrcnn_tf.boxes import rescale_boxes, rescale_points


def on_canvas(image: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """An image as a portable function takes it.

    Args:
        image: `[h, w, 3]` uint8; one that is larger than the canvas is made smaller, as a client
            has to.
        size: height and width of the canvas.

    Returns:
        `[1, H, W, 3]` uint8, the image in the upper left, and its height and width there,
        `[1, 2]` int32.
    """
    scale = min(side / own for side, own in zip(size, image.shape[:2], strict=True))
    if scale < 1:
        height, width = (max(1, round(scale * side)) for side in image.shape[:2])
        # Pillow rounds after each axis, the model once: a level of a few pixels shows in the AP.
        shrunk = tf.image.resize(image, [height, width], antialias=True)
        image = tf.cast(shrunk + 0.5, tf.uint8).numpy()
    canvas = np.zeros((1, *size, 3), np.uint8)
    canvas[0, : image.shape[0], : image.shape[1]] = image
    return canvas, np.int32([image.shape[:2]])


class CanvasPredictor:
    """A portable function in the place of a `Predictor`, for `evaluate_dataset`.

    Args:
        run: takes what `on_canvas` gives, and gives detections: a runtime, for instance.
        model: whose detections they are meant to be; names of classes and the like are its.
        size: height and width of the canvas.
    """

    def __init__(self, run: Callable, model: keras.Model, size: tuple[int, int]):
        self.run, self.model, self.canvas = run, model, size
        self.size, self.image_resize = model.image_size, model.image_resize
        self.whole_pixel_masks = model.whole_pixel_masks

    def predict_batch(self, images: list[np.ndarray]) -> list[dict[str, np.ndarray]]:
        """Detections of images `[h, w, 3]` uint8, in their pixels."""
        return [self._predict(image) for image in images]

    def _predict(self, image: np.ndarray) -> dict[str, np.ndarray]:
        canvas, sizes = on_canvas(image, self.canvas)
        found = detections(self.run(canvas, sizes))
        given = image.shape[:2]
        found["boxes"] = rescale_boxes(found["boxes"], sizes[0], given).numpy()
        if "keypoints" in found:
            found["keypoints"] = rescale_points(found["keypoints"], sizes[0], given).numpy()
        return found


def detections(outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What was found in the one image of a batch, without the padding behind it."""
    count = int(outputs["num_detections"][0])
    names = sorted(set(outputs) - {"num_detections"})
    return {name: np.asarray(outputs[name])[0, :count] for name in names}
