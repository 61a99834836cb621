"""Our side of `mrcnn-tf benchmark inference`: whole models, and a keypoint head's convolutions."""

import functools
import math
import os

import keras
import numpy as np
import tensorflow as tf

from mrcnn_tf import MaskRCNN
from mrcnn_tf.benchmark.peers.serve import Side, serve

JOINTS = 17
_STRIDE = 32


def prepare(case: str, side: str, arrays: dict[str, np.ndarray]) -> Side:
    """The call that is timed, of a case with the backbone `side`, and what makes arrays of it.

    The cases take turns in this process, so each is built and traced once.
    """
    if case not in _prepared:
        _prepared[case] = _CASES[case](side, arrays)
    return _prepared[case]


def mask(backbone: str, arrays: dict[str, np.ndarray]) -> Side:
    return _forward(_model(backbone, int(arrays["max_detections"]), 0), arrays)


def mask_keypoints(backbone: str, arrays: dict[str, np.ndarray]) -> Side:
    return _forward(_model(backbone, int(arrays["max_detections"]), JOINTS), arrays)


def keypoint_convolutions(backbone: str, arrays: dict[str, np.ndarray]) -> Side:
    """The convolutions of that model's keypoint head, on as many rows as there are detections."""
    rows = int(arrays["max_detections"])
    model = _model(backbone, rows, JOINTS)
    bins, channels = model.keypoint_pooling.output_size, model.keypoint_head.in_channels
    shape = [len(arrays["images"]) * rows, bins, bins, channels]
    features = tf.nn.relu(tf.random.stateless_normal(shape, seed=(0, 0)))

    @tf.function
    def convolve(features):
        return model.keypoint_head.convolve(features)

    return lambda: convolve(features), lambda logits: {"logits": logits.numpy()}


@functools.cache
def _model(backbone: str, max_detections: int, keypoints: int) -> MaskRCNN:
    # The keypoint head is built last, so all other weights are the same with and without it.
    keras.utils.set_random_seed(0)
    model = MaskRCNN(backbone, keypoints=keypoints, max_detections=max_detections)
    every_proposal_counts(model)
    return model


def every_proposal_counts(model: MaskRCNN) -> None:
    """Makes every anchor its own proposal, and every proposal one object with a score of a half.

    Weights from scratch would find nothing, and the heads' work depends on the detections.
    """
    for layer in (model.rpn.deltas, model.box_head.deltas, model.box_head.logits):
        for variable in layer.weights:
            variable.assign(tf.zeros_like(variable))
    bias = np.zeros(model.num_classes + 1, np.float32)
    bias[0] = math.log(model.num_classes)
    model.box_head.logits.bias.assign(bias)


def _forward(model: MaskRCNN, arrays: dict[str, np.ndarray]) -> Side:
    images = arrays["images"]
    size = images.shape[1:3]
    below, right = (-side % _STRIDE for side in size)
    images = np.pad(images, [(0, 0), (0, below), (0, right), (0, 0)])
    inputs = {
        "images": tf.constant(images),
        "image_sizes": tf.constant([size] * len(images), tf.int32),
    }

    @tf.function
    def forward(inputs):
        return model(inputs, training=False)

    return lambda: forward(inputs), lambda found: {
        name: values.numpy() for name, values in found.items()
    }


_CASES = {
    "mask": mask,
    "mask_keypoints": mask_keypoints,
    "keypoint_convolutions": keypoint_convolutions,
}
_prepared: dict[str, Side] = {}


if __name__ == "__main__":
    threads = int(os.environ["MRCNN_TF_BENCHMARK_THREADS"])
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    serve(prepare)
