"""The SavedModel in TensorFlow."""

import json
import os
import time
from pathlib import Path

import numpy as np
import tensorflow as tf

from mrcnn_tf.export.portable import LABELS, SIGNATURE
from mrcnn_tf.export.runtimes.runtime import Runtime


class SavedModelRuntime(Runtime):
    """The signature `portable` of a SavedModel, in TensorFlow.

    Raises:
        ValueError: the SavedModel has no such signature.

    Example:

    ```python
    with SavedModelRuntime("nuclei/1") as run:
        run(canvas, np.int32([[256, 256]]))["boxes"]
    ```
    """

    def __init__(self, filepath: str | os.PathLike):
        self._loaded = tf.saved_model.load(os.fspath(filepath))
        if SIGNATURE not in self._loaded.signatures:
            raise ValueError(f"{filepath} has no signature {SIGNATURE!r}: export it again.")
        self._run = self._loaded.signatures[SIGNATURE]
        height, width = self._run.structured_input_signature[1]["images"].shape[1:3]
        labels = json.loads((Path(filepath) / LABELS).read_text(encoding="utf-8"))
        super().__init__((height, width), labels)

    def __call__(self, images: np.ndarray, image_sizes: np.ndarray) -> dict[str, np.ndarray]:
        start = time.perf_counter()
        outputs = self._run(images=tf.constant(images), image_sizes=tf.constant(image_sizes))
        outputs = {name: value.numpy() for name, value in outputs.items()}
        self.seconds = time.perf_counter() - start
        return outputs
