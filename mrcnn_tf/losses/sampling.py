"""Random choice of anchors and RoIs to learn from, as a function of seed, step and image."""

from typing import NamedTuple

import tensorflow as tf

POSITIVE, NEGATIVE, IGNORED = 1, 0, -1


class Samples(NamedTuple):
    """Rows chosen from each image, positives first.

    Attributes:
        indices: `[B, S]` int32 rows; 0 where nothing was chosen.
        is_positive: `[B, S]` bool.
        is_valid: `[B, S]` bool, False where an image had fewer rows to choose from.
    """

    indices: tf.Tensor
    is_positive: tf.Tensor
    is_valid: tf.Tensor


def random_priorities(
    seed: int, step: tf.Tensor, image_ids: tf.Tensor, count: tf.Tensor
) -> tf.Tensor:
    """Uniform numbers that depend on nothing but the seed, the step and the image's id.

    So an image draws the same samples whichever batch, replica or restarted run it is in.

    Args:
        seed: any integer; use another one for each kind of choice.
        step: scalar integer, the optimizer's iteration.
        image_ids: `[B]` integer.
        count: numbers wanted per image.

    Returns:
        `[B, count]` float32 in 0..1.
    """
    step = tf.cast(step, tf.int64)
    # An odd multiplier spreads (seed, step) pairs over the 64-bit key without collisions nearby.
    key = tf.constant(seed, tf.int64) * 1_000_003 + step
    return tf.map_fn(
        lambda image_id: tf.random.stateless_uniform([count], tf.stack([key, image_id])),
        tf.cast(image_ids, tf.int64),
        fn_output_signature=tf.float32,
    )


def sample(
    labels: tf.Tensor, priorities: tf.Tensor, num_samples: int, positive_fraction: float
) -> Samples:
    """Choose up to `num_samples` rows an image, at most the given fraction of them positive.

    Missing positives are replaced by negatives, as in Faster R-CNN.

    Args:
        labels: `[B, N]` int32: 1 positive, 0 negative, -1 never chosen.
        priorities: `[B, N]` float32 in 0..1; higher ones are chosen first.
        num_samples: rows to choose per image.
        positive_fraction: in 0..1.

    Returns:
        `Samples` of `[B, num_samples]`.
    """
    count = tf.shape(labels)[1]
    num_samples_found = tf.minimum(num_samples, count)
    max_positives = int(num_samples * positive_fraction)

    def ranked(label: int, limit: tf.Tensor | int) -> tuple[tf.Tensor, tf.Tensor]:
        scores = tf.where(labels == label, priorities, -1.0)
        _, indices = tf.math.top_k(scores, k=tf.minimum(limit, count))
        available = tf.reduce_sum(tf.cast(labels == label, tf.int32), axis=1)
        return indices, tf.minimum(available, limit)

    positives, num_positives = ranked(POSITIVE, max_positives)
    negatives, num_negatives = ranked(NEGATIVE, num_samples_found)
    num_positives = num_positives[:, None]
    slots = tf.broadcast_to(tf.range(num_samples)[None], [tf.shape(labels)[0], num_samples])
    is_positive = slots < num_positives
    is_valid = slots < num_positives + num_negatives[:, None]

    def take(indices: tf.Tensor, slot: tf.Tensor) -> tf.Tensor:
        limit = tf.maximum(tf.shape(indices)[1] - 1, 0)
        padded = tf.pad(indices, [[0, 0], [0, 1]])  # so that no positives at all can be read
        return tf.gather(padded, tf.clip_by_value(slot, 0, limit), batch_dims=1)

    indices = tf.where(is_positive, take(positives, slots), take(negatives, slots - num_positives))
    indices = tf.where(is_valid, indices, 0)
    return Samples(
        tf.reshape(indices, [-1, num_samples]),
        tf.reshape(is_positive, [-1, num_samples]),
        tf.reshape(is_valid, [-1, num_samples]),
    )
