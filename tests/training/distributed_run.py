"""One training of generated scenes, run by tests as a process or as several.

python -m tests.training.distributed_run STRATEGY SCENES OUT [WORKER_THAT_STOPS]
"""

import os
import signal
import sys

import keras
import tensorflow as tf

from mrcnn_tf import replicas
from mrcnn_tf.training import Recipe, train
from tests.models.tiny import ARGUMENTS


class Stop(keras.callbacks.Callback):
    """After two steps one worker no longer answers, as a machine that has lost its network."""

    def __init__(self, index: int):
        super().__init__()
        self.index = index

    def on_train_batch_end(self, batch, logs=None):
        own = replicas.worker(self.model.distribute_strategy).index
        if batch == 1 and own == self.index:
            os.kill(os.getpid(), signal.SIGSTOP)


def main(strategy: str, scenes: str, out: str, stops: str | None = None) -> None:
    if strategy == "mirrored":
        cpu = tf.config.list_physical_devices("CPU")[0]
        two = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(cpu, two)
    recipe = Recipe(
        preset="maskrcnn_resnet50_fpn",
        weights=None,
        optimizer="sgd",
        learning_rate=0.01,
        warmup_steps=5,
        # Below the norm of the gradients, so that it matters what is clipped.
        clip_norm=0.5,
        steps=20,
        steps_per_epoch=5,
        batch_size=4,
        evaluate_every=2,
        steps_per_call=1 if stops else 3,
        strategy=strategy,
    )
    options = {name: value for name, value in ARGUMENTS.items() if name != "num_classes"}
    callbacks = [Stop(int(stops))] if stops else None
    train(scenes, "train", "val", out, recipe, {**options, "image_size": 96}, callbacks, verbose=0)


if __name__ == "__main__":
    main(*sys.argv[1:])
