"""Steps of training and validation as graphs, under any strategy of `tf.distribute` or none."""

from collections.abc import Callable

import keras
import tensorflow as tf

from mrcnn_tf import replicas
from mrcnn_tf.models.detector import Detector
from mrcnn_tf.progress import Progress, tell


def repeated(model: Detector, step: Callable) -> Callable:
    """`(batches, count)` to the number of steps that were done and the logs of the last."""
    names = [metric.name for metric in model.metrics]

    def repeat(batches, count):
        def goes_on(done, logs):
            return (done < count) & tf.reduce_all(tf.math.is_finite(list(logs.values())))

        start = tf.constant(0), {name: tf.constant(0.0) for name in names}
        return tf.while_loop(
            goes_on, lambda done, _: (done + 1, step(batches)), start, parallel_iterations=1
        )

    if model.run_eagerly:
        return repeat
    return tf.function(repeat, autograph=False, reduce_retracing=True)


def train_step(
    model: Detector, strategy: tf.distribute.Strategy, accumulate: int, progress: Progress
) -> Callable:
    """From batches to the logs of one optimizer step, which tells `progress` how far it is."""
    workers = replicas.worker(strategy).count

    def fetch(batches, part: int | tf.Tensor):
        # Not before: or the time in which the images come would not be counted.
        with tf.control_dependencies(tell(progress.wait_for_images, part)):
            batch = next(batches)
        x, y, _ = keras.utils.unpack_x_y_sample_weight(batch)
        images = _of_all(strategy, x["images"] if isinstance(x, dict) else x)
        ids = _of_all(strategy, y["image_id"]) if "image_id" in y else []
        tell(
            progress.compute,
            tf.add_n([tf.shape(each)[0] for each in images]) * workers,
            tf.concat([tf.cast(each, tf.int64) for each in ids] or [tf.zeros(0, tf.int64)], 0),
            after=images,
        )
        return batch

    def compute_gradients(batch):
        return model.compute_gradients(
            batch, accumulate, lambda loss: tell(progress.differentiate, loss)
        )

    def update(gradients):
        model.apply_gradients(gradients)
        # The gradient of the first layer is the last one to be computed.
        first = model.trainable_variables[0].value
        tell(progress.finish_step, tf.reshape(first, [-1])[0])

    def learn(batch):
        gradients, logs = compute_gradients(batch)
        # For the reason that `Detector.train_step` tells.
        with tf.control_dependencies([logs["loss"]]):
            update(gradients)
        return logs

    if accumulate == 1:
        return lambda batches: _of_one(strategy, strategy.run(learn, (fetch(batches, 0),)))
    with strategy.scope():
        sums = [
            tf.Variable(
                tf.zeros(variable.shape, variable.dtype),
                trainable=False,
                synchronization=tf.VariableSynchronization.ON_READ,
                aggregation=tf.VariableAggregation.SUM,
            )
            for variable in model.trainable_variables
        ]

    def add(batch):
        gradients, logs = compute_gradients(batch)
        for one, gradient in zip(sums, gradients, strict=True):
            one.assign_add(gradient)
        return logs

    def apply():
        update([one.read_value() for one in sums])
        for one in sums:
            one.assign(tf.zeros_like(one))

    def step(batches):
        start = 0, {metric.name: tf.constant(0.0) for metric in model.metrics}
        _, logs = tf.while_loop(
            lambda done, _: done < accumulate,
            lambda done, _: (
                done + 1,
                _of_one(strategy, strategy.run(add, (fetch(batches, done),))),
            ),
            start,
            parallel_iterations=1,
        )
        with tf.control_dependencies([logs["loss"]]):
            strategy.run(apply)
        return logs

    return step


def test_step(model: Detector, strategy: tf.distribute.Strategy) -> Callable:
    """From batches to the logs of one batch that nothing is learnt from."""
    return lambda batches: _of_one(strategy, strategy.run(model.test_step, (next(batches),)))


def _of_one(strategy: tf.distribute.Strategy, logs: dict) -> dict[str, tf.Tensor]:
    """The logs of one replica: they are the same in all."""
    return {name: strategy.experimental_local_results(value)[0] for name, value in logs.items()}


def _of_all(strategy: tf.distribute.Strategy, value) -> list[tf.Tensor]:
    return list(strategy.experimental_local_results(value))
