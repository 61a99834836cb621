"""From heatmaps to joints in pixels."""

import keras
import tensorflow as tf

from mrcnn_tf.ops.shapes import gather_rows, one_hot

KEYPOINT_DECODINGS = ("grid", "torchvision", "detectron2")


@keras.saving.register_keras_serializable(package="mrcnn_tf")
class KeypointDecoding(keras.layers.Layer):
    """The most likely place of every joint in its box.

    `"grid"` takes the best cell of the heatmap and moves, by up to half a cell, to the vertex of
    the parabola through it and its neighbours, across and down on their own; at the heatmap's edge
    it takes the cell's centre. All its shapes are static. The peers enlarge or shrink each heatmap
    to its box in whole pixels, by bicubic interpolation, and take the centre of the best pixel:
    `"torchvision"` and `"detectron2"`, which find the same place and differ in the score.

    Args:
        method: `"grid"`, `"torchvision"` or `"detectron2"`.

    Call arguments:
        logits: `[B, N, h, w, K]` float32, see `KeypointHead`.
        boxes: `[B, N, 4]` float32, pixels.

    Returns:
        `[B, N, K, 3]` float32: x, y in pixels and the joint's score. With `"torchvision"` it is the
        logit at the place found, its `keypoints_scores`; otherwise the probability there, of a
        softmax over the heatmap's cells, which does not depend on the size of the box.

    Raises:
        ValueError: another `method`.

    Reference: `heatmaps_to_keypoints` of torchvision and of Detectron2.

    Example:

    >>> logits = 9 * tf.one_hot([[[3, 3, 3, 3]]], 8)[..., None]  # [1, 1, 4, 8, 1]: columns 3
    >>> keypoints = KeypointDecoding()(logits, tf.constant([[[0.0, 0, 80, 40]]]))
    >>> float(keypoints[0, 0, 0, 0])  # x: the column's centre
    35.0
    """

    def __init__(self, method: str = "grid", **kwargs):
        super().__init__(autocast=False, dtype="float32", **kwargs)
        if method not in KEYPOINT_DECODINGS:
            raise ValueError(
                f"keypoint_decoding must be one of {KEYPOINT_DECODINGS}, got {method!r}"
            )
        self.method = method
        self.supports_jit = False
        self.built = True

    def call(self, logits, boxes):
        height, width, joints = logits.shape[2:]
        rows = tf.shape(boxes)[:2]
        maps = tf.reshape(logits, [-1, height * width, joints])
        maps = tf.transpose(maps, [0, 2, 1])  # [B * N, K, h * w]
        boxes = tf.reshape(boxes, [-1, 4])
        sides = boxes[:, 2:] - boxes[:, :2]  # [B * N, 2]: width, height
        if self.method == "grid":
            places, scores = _best_cells(maps, height, width)  # 0..1 within the box
        else:
            sides = tf.maximum(sides, 1.0)
            places, scores = _best_pixels(tf.reshape(maps, [-1, joints, height, width]), sides)
        if self.method != "torchvision":
            scores = 1.0 / tf.reduce_sum(tf.exp(maps - scores[..., None]), axis=-1)
        places = boxes[:, None, :2] + places * sides[:, None]
        keypoints = tf.concat([places, scores[..., None]], axis=-1)
        return tf.reshape(keypoints, tf.concat([rows, [joints, 3]], axis=0))

    def get_config(self):
        config = super().get_config()
        config.pop("dtype")
        return {**config, "method": self.method}


def _best_cells(maps, height: int, width: int):
    """Place `[R, K, 2]` (x, y, in 0..1 of the map) and logit `[R, K]` of maps `[R, K, h * w]`."""
    joints = maps.shape[1]
    flat = tf.reshape(maps, [-1, height * width])
    cells = tf.argmax(flat, axis=-1, output_type=tf.int32)
    y, x = cells // width, cells % width

    def logit(y, x):
        y, x = tf.clip_by_value(y, 0, height - 1), tf.clip_by_value(x, 0, width - 1)
        return gather_rows(flat, (y * width + x)[:, None])[:, 0]

    best = logit(y, x)
    offset_x = _vertex(logit(y, x - 1), best, logit(y, x + 1))
    offset_y = _vertex(logit(y - 1, x), best, logit(y + 1, x))
    offset_x = tf.where((x > 0) & (x < width - 1), offset_x, 0.0)
    offset_y = tf.where((y > 0) & (y < height - 1), offset_y, 0.0)
    places = tf.stack(
        [
            (tf.cast(x, tf.float32) + 0.5 + offset_x) / width,
            (tf.cast(y, tf.float32) + 0.5 + offset_y) / height,
        ],
        axis=-1,
    )
    return tf.reshape(places, [-1, joints, 2]), tf.reshape(best, [-1, joints])


def _vertex(before, best, after):
    """Where the parabola through three neighbours is highest, in cells from the middle one."""
    curvature = 2 * best - before - after  # no neighbour is above the best
    return 0.5 * (after - before) / tf.maximum(curvature, 1e-12)


def _best_pixels(maps, sides):
    """The same of maps `[R, K, h, w]` that are resized to boxes with `sides [R, 2]`, one by one."""
    joints, height, width = maps.shape[1:]
    pixels = tf.cast(tf.math.ceil(sides), tf.int32)  # [R, 2]: width, height

    def best_pixel(arguments):
        maps, pixels = arguments  # [K, h, w], [2]
        across, down = _cubic(pixels[0], width), _cubic(pixels[1], height)
        resized = tf.matmul(down, tf.matmul(maps, across, transpose_b=True))  # [K, H, W]
        resized = tf.reshape(resized, [joints, -1])
        index = tf.argmax(resized, axis=-1, output_type=tf.int32)
        places = tf.stack([index % pixels[0], index // pixels[0]], axis=-1)  # [K, 2]
        places = (tf.cast(places, tf.float32) + 0.5) / tf.cast(pixels, tf.float32)
        return tf.concat([places, tf.reduce_max(resized, axis=-1)[:, None]], axis=-1)

    # A resized map of a large box takes as much memory as the image, so one at a time.
    found = tf.map_fn(
        best_pixel,
        (maps, pixels),
        parallel_iterations=1,
        fn_output_signature=tf.TensorSpec([joints, 3], tf.float32),
    )
    return found[..., :2], found[..., 2]


def _cubic(pixels, cells: int):
    """Weights `[pixels, cells]` of bicubic interpolation with PyTorch's coefficient of -0.75."""
    scale = cells / tf.cast(pixels, tf.float32)
    position = (tf.cast(tf.range(pixels), tf.float32) + 0.5) * scale - 0.5
    first = tf.floor(position)
    t = position - first  # 0..1 between the second and the third of four cells
    weights = 0.0
    for tap, distance in ((-1, t + 1), (0, t), (1, 1 - t), (2, 2 - t)):
        if tap in (0, 1):
            weight = (1.25 * distance - 2.25) * distance * distance + 1
        else:
            weight = ((-0.75 * distance + 3.75) * distance - 6) * distance + 3
        cell = tf.clip_by_value(tf.cast(first, tf.int32) + tap, 0, cells - 1)
        weights += one_hot(cell, cells, tf.float32) * weight[:, None]
    return weights
