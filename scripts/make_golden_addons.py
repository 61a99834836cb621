"""Writes tests/golden/addons.npz: losses by TensorFlow Addons, which Keras 3 has no equal of.

Needs an environment of its own, as Addons ended with TensorFlow 2.15:
    pip install tensorflow==2.15.1 tensorflow-addons==0.23.0
    python scripts/make_golden_addons.py
Takes a few seconds.
"""

from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_addons as tfa

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    generator = np.random.default_rng(0)
    corners = generator.uniform(0, 60, [2, 200, 2])
    sizes = generator.uniform(1, 40, [2, 200, 2])
    boxes, others = np.concatenate([corners, corners + sizes], axis=-1).astype(np.float32)
    others[:20] = boxes[:20]
    labels = generator.integers(0, 2, 200).astype(np.float32)
    logits = generator.normal(scale=4, size=200).astype(np.float32)
    with tf.GradientTape() as tape:
        predictions = tf.constant(others)
        tape.watch(predictions)
        giou = tfa.losses.giou_loss(boxes, predictions)
    focal = tfa.losses.sigmoid_focal_crossentropy(
        labels[:, None], logits[:, None], from_logits=True
    )
    np.savez_compressed(
        ROOT / "tests/golden/addons.npz",
        boxes=boxes,
        others=others,
        giou=giou.numpy(),
        giou_gradient=tape.gradient(giou, predictions).numpy(),
        labels=labels,
        logits=logits,
        focal=focal.numpy(),
    )


if __name__ == "__main__":
    main()
