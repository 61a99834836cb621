"""A model without weights that finds bright rectangles, and images with such rectangles."""

import json

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

SIZES = ((48, 64), (64, 48), (40, 80), (64, 64), (30, 30))
BOXES = ((10, 8, 30, 20), (8, 12, 16, 40), (4, 10, 60, 25), (20, 20, 30, 30), (5, 5, 20, 15))


class BrightRectangle(keras.Model):
    """One detection an image, in class 1 of 2: what is brighter than 128.

    With `keypoints=2` its joints are the centres of the first and the last pixel.
    """

    def __init__(
        self, mask=True, max_detections=3, category_ids=(4, 9), image_size=(64, 96), keypoints=0
    ):
        super().__init__()
        self.keypoints = keypoints
        self.keypoint_skeleton = [(0, 1)] if keypoints else []
        self.keypoint_names = [f"joint {i}" for i in range(keypoints)]
        self.mask = mask
        self.max_detections = max_detections
        self.num_classes = 2
        self.class_names = ["class 0", "class 1"]
        self.category_ids = list(category_ids)
        self.image_size = image_size
        self.batches = []
        self.finds = tf.Variable(1)

    def call(self, inputs, training=False):
        images = inputs["images"]
        bright = tf.cast(images[..., 0] > 128, tf.float32)  # [B, H, W]
        across, down = tf.reduce_max(bright, 1), tf.reduce_max(bright, 2)
        x1, y1 = (tf.cast(tf.argmax(line, axis=-1), tf.float32) for line in (across, down))
        x2, y2 = x1 + tf.reduce_sum(across, -1), y1 + tf.reduce_sum(down, -1)
        box = tf.stack([x1, y1, x2, y2], axis=-1)
        batch, rows = tf.shape(images)[0], self.max_detections
        padding = tf.zeros([batch, rows - 1])
        outputs = {
            "boxes": tf.pad(box[:, None], [[0, 0], [0, rows - 1], [0, 0]]),
            "classes": tf.concat(
                [tf.ones([batch, 1], tf.int32), tf.cast(padding, tf.int32) - 1], axis=1
            ),
            "scores": tf.concat([tf.fill([batch, 1], 0.9), padding], axis=1),
            "num_detections": tf.fill([batch], self.finds),
        }
        if self.mask:
            outputs["masks"] = tf.ones([batch, rows, 28, 28])
        if self.keypoints:
            joints = tf.reshape(outputs["boxes"], [batch, rows, 2, 2]) + [[0.5], [-0.5]]
            joints = tf.pad(joints, [[0, 0], [0, 0], [0, 0], [0, 1]], constant_values=0.8)
            outputs["keypoints"] = tf.where(outputs["scores"][..., None, None] > 0, joints, 0.0)
        return outputs

    def train_step(self, data):
        return {"loss": tf.constant(1.0)}


def write_dataset(folder, segmentation=True, category_ids=(4, 9), keypoints=False):
    """Five images of different size, one object of the second category in each.

    Its joints are the first and the last pixel.
    """
    images, annotations = [], []
    for index, ((height, width), (x1, y1, x2, y2)) in enumerate(zip(SIZES, BOXES, strict=True)):
        pixels = np.zeros((height, width, 3), np.uint8)
        pixels[y1:y2, x1:x2] = 255
        name = f"{index}.png"
        Image.fromarray(pixels).save(folder / name)
        images.append({"id": 100 + index, "file_name": name, "height": height, "width": width})
        annotations.append(
            {
                "id": 1 + index,
                "image_id": 100 + index,
                "category_id": category_ids[1],
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "area": (x2 - x1) * (y2 - y1),
                "iscrowd": 0,
            }
        )
        if segmentation:
            annotations[-1]["segmentation"] = [[x1, y1, x2, y1, x2, y2, x1, y2]]
        if keypoints:
            annotations[-1]["keypoints"] = [x1, y1, 2, x2 - 1, y2 - 1, 1]
            annotations[-1]["num_keypoints"] = 2
    content = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": i, "name": f"thing {i}"} for i in category_ids],
    }
    if keypoints:
        content["categories"][1]["keypoints"] = ["first", "last"]
        content["categories"][1]["skeleton"] = [[1, 2]]
    path = folder / "val.json"
    path.write_text(json.dumps(content))
    return folder, path
