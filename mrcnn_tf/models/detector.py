"""What every detector shares: steps and metrics of Keras's training loop, presets, export."""

import contextlib
from collections.abc import Callable

import keras
import tensorflow as tf

from mrcnn_tf import replicas


class Detector(keras.Model):
    """Base of models that compute named losses from `(x, y)` and train with `fit`.

    A subclass gives `loss_names` and `compute_losses(x, y, training, step)`; this class sums the
    losses with their weights, trains on the sum and reports the mean of each.
    """

    loss_names: tuple[str, ...] = ()

    def __init__(self, loss_weights: dict[str, float] | None = None, **kwargs):
        # Layers cast for themselves: images and coordinates lose bits in half precision.
        super().__init__(autocast=False, **kwargs)
        unknown = sorted(set(loss_weights or {}) - set(self.loss_names))
        if unknown:
            raise ValueError(
                f"loss_weights names {unknown}, but the losses are {list(self.loss_names)}."
            )
        self.loss_weights = {name: 1.0 for name in self.loss_names} | dict(loss_weights or {})
        self.loss_trackers = [keras.metrics.Mean(name=name) for name in ("loss", *self.loss_names)]
        self.supports_jit = False

    def compute_losses(self, x, y, training: bool, step) -> dict[str, tf.Tensor]:
        raise NotImplementedError

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return self.loss_trackers

    def total_loss(self, losses: dict[str, tf.Tensor]) -> tf.Tensor:
        """Weighted sum of the named losses and of the layers' own (regularisation)."""
        total = sum(losses[name] * self.loss_weights[name] for name in self.loss_names)
        # The same in every replica, whereas the named losses of replicas add up to the batch's.
        own = [tf.cast(loss, tf.float32) / replicas.count() for loss in self.losses]
        return sum(own, start=total)

    def build_optimizer(self) -> None:
        """Create the optimizer's variables.

        Left to the first step, Keras would do it while tracing, and TensorFlow would trace this
        large graph twice.
        """
        if self.optimizer is not None and not self.optimizer.built:
            with self.distribute_strategy.scope():
                self.optimizer.build(self.trainable_variables)

    def make_train_function(self, force=False):
        self.build_optimizer()
        return super().make_train_function(force)

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        # All weights exist since construction. Under a strategy Keras would use up a pass over the
        # data here, and fail at booleans, of which it wants the mean over replicas.
        pass

    def train_step(self, data):
        gradients, logs = self.compute_gradients(data)
        # The iteration counter would otherwise advance once more when the data ends, before the
        # end is noticed: in a graph it depends on nothing else in the step.
        with tf.control_dependencies([logs["loss"]]):
            self.apply_gradients(gradients)
        return logs

    def compute_gradients(self, data, parts: int = 1, after_forward: Callable | None = None):
        """This replica's part of the gradients of a batch.

        Args:
            data: `(x, y)`.
            parts: batches of which an optimizer step is made, whose mean is learnt from.
            after_forward: called with the loss before the gradients are computed.

        Returns:
            A list of gradients by trainable variable, scaled for the optimizer, and a dict of the
            mean losses of the batches since the metrics were reset.
        """
        x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape() if tf.executing_eagerly() else contextlib.nullcontext() as tape:
            losses = self.compute_losses(
                *never_empty(x, y), training=True, step=self.optimizer.iterations
            )
            total = self.total_loss(losses)
            scaled = self.optimizer.scale_loss(total / parts)
        if after_forward is not None:
            after_forward(total)
        variables = [variable.value for variable in self.trainable_variables]
        unconnected = tf.UnconnectedGradients.ZERO
        if tape is not None:
            gradients = tape.gradient(scaled, variables, unconnected_gradients=unconnected)
        else:
            # A tape adds what flows back to a tensor by one AddN, which begins with whichever
            # operand's memory it may take over: the sum of three has other bits when threads are
            # faster. Pairs have the same sum either way.
            gradients = tf.gradients(
                scaled,
                variables,
                unconnected_gradients=unconnected,
                aggregation_method=tf.AggregationMethod.EXPERIMENTAL_TREE,
            )
        return gradients, self._track(losses, total, x)

    def apply_gradients(self, gradients: list[tf.Tensor]) -> None:
        """Take one step of the optimizer along the sum of all replicas' gradients."""
        gradients = replicas.total(gradients)
        with replicas.gradients_are_summed(self.optimizer):
            self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))

    def test_step(self, data):
        x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
        losses = self.compute_losses(*never_empty(x, y), training=False, step=0)
        return self._track(losses, self.total_loss(losses), x)

    def _track(self, losses, total, x) -> dict[str, tf.Tensor]:
        batch = tf.shape(x["images"] if isinstance(x, dict) else x)[0]
        values = [tf.cast(batch, tf.float32), total, *losses.values()]
        batch, *values = tf.unstack(replicas.total(tf.stack(values)))
        values = dict(zip(("loss", *losses), values, strict=True))
        for tracker in self.loss_trackers:
            tracker.update_state(values[tracker.name], sample_weight=batch)
        return {tracker.name: tracker.result() for tracker in self.loss_trackers}

    @classmethod
    def from_preset(
        cls,
        preset: str,
        load_weights: bool = True,
        num_classes=None,
        weights_file=None,
        **arguments,
    ):
        """Build a model by the name of its architecture, or of a published detector, or of a file.

        Args:
            preset: a name of `mrcnn_tf.weights.PRESETS`, or a `.keras` file.
            load_weights: start from the preset's weights: of an architecture, the backbone's
                ImageNet weights; of a published detector or a file, all of them. They are
                downloaded once, into Keras's cache, and checked by their hash.
            num_classes: another number of classes than the preset's. Layers whose shape depends
                on it start from random numbers; their names are printed.
            weights_file: a copy of the published detector's file, for a machine without network.
            **arguments: other constructor arguments that differ from the preset's.

        Returns:
            A `MaskRCNN`.

        Raises:
            ValueError: the preset is not known; the known ones are listed. Or a file of weights
                is not the published one.
            FileNotFoundError: there is no such file.
            OSError: a download failed.

        Example:

        >>> MaskRCNN.from_preset("maskrcnn_resnet50_fpn", load_weights=False, num_classes=3)
        >>> MaskRCNN.from_preset("torchvision/maskrcnn_resnet50_fpn_coco", num_classes=3)
        """
        from mrcnn_tf.weights import model_from_preset

        return model_from_preset(
            cls, preset, load_weights, weights_file, num_classes=num_classes, **arguments
        )

    def export(
        self, filepath, format="tf_saved_model", verbose=None, input_signature=None, **kwargs
    ):
        """Write the model for inference elsewhere; see `mrcnn_tf.export.export_model`.

        Example:

        >>> model.export("nuclei/1")
        >>> served = tf.saved_model.load("nuclei/1")
        >>> served.serve_images(photos)["boxes"].shape
        TensorShape([1, 100, 4])
        """
        from mrcnn_tf.export import export_model

        export_model(self, filepath, format, verbose, input_signature, **kwargs)


def never_empty(x, y):
    """The batch, or where a replica has got no image of a last, smaller batch, an image of no size.

    TensorFlow's convolutions fail without any image; nothing is learnt from one of no size.
    """
    if replicas.count() == 1:
        return x, y
    images, image_sizes = split_input(x)
    missing = tf.cast(tf.shape(images)[0] == 0, tf.int32)

    def padded(rows):
        return tf.pad(rows, [[0, missing], *[[0, 0]] * (rows.shape.rank - 1)])

    x = {"images": images, "image_sizes": image_sizes}
    return tf.nest.map_structure(padded, (x, y))


def split_input(x) -> tuple[tf.Tensor, tf.Tensor]:
    """Images `[B, H, W, 3]` and image sizes `[B, 2]` of an array or of a dict.

    Raises:
        ValueError: a dict without `images`, or an array that is not `[B, H, W, 3]`.
    """
    sizes = None
    if isinstance(x, dict):
        if "images" not in x:
            raise ValueError(f"The input dict needs the key 'images'; it has {sorted(x)}.")
        x, sizes = x["images"], x.get("image_sizes")
    images = tf.convert_to_tensor(x)
    if images.shape.rank != 4 or images.shape[-1] not in (3, None):
        raise ValueError(
            f"images must be [batch, height, width, 3]; got shape {images.shape}. One image needs "
            "a leading axis: image[None]."
        )
    shape = tf.shape(images)
    if sizes is None:
        sizes = tf.broadcast_to(shape[None, 1:3], [shape[0], 2])
    return images, tf.cast(sizes, tf.int32)
