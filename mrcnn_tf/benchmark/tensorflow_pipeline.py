"""Our side of `mrcnn-tf benchmark pipeline`: a pass over the batches of `coco`."""

import os

import numpy as np
import tensorflow as tf

from mrcnn_tf.benchmark.peers.serve import Side, serve
from mrcnn_tf.data import coco


def prepare(case: str, side: str, arrays: dict[str, np.ndarray]) -> Side:
    dataset = coco(
        *arrays["paths"].tolist(),
        batch_size=int(arrays["batch_size"]),
        size=tuple(arrays["size"].tolist()),
        shuffle=True,
        flip=True,
        max_objects=None,
        drop_empty=True,
    )

    def call():
        ids, objects = [], 0
        for _, y in dataset:
            ids += y["image_id"].numpy().tolist()
            objects += int(((y["classes"] >= 0) & ~y["is_crowd"]).numpy().sum())
        return ids, objects

    return call, lambda found: {"image_ids": np.sort(found[0]), "objects": np.array(found[1])}


if __name__ == "__main__":
    threads = int(os.environ["MRCNN_TF_BENCHMARK_THREADS"])
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    serve(prepare)
