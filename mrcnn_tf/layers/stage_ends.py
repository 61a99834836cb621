"""Stages of a network that is known by its graph alone."""

import keras

from mrcnn_tf.layers.backbone import Backbone

# Height and width for which shapes are worked out.
PROBE = (128, 160)


def stage_ends(name: str, network: keras.Model) -> list[keras.KerasTensor]:
    """Where to cut a network into a stem and the stages of strides 4, 8, 16 and 32.

    A map is a place to cut if nothing behind it reads anything in front of it. A stage ends with
    the last such map of exactly its stride, in height and in width; the stem with the last of
    stride 2, or where there is none with the first of stride 4. Layers in front that normalise
    pixels are in no part.

    Args:
        name: Of the network, for the error.
        network: Takes images `[B, None, None, 3]`.

    Returns:
        The six tensors between which the parts lie: normalised images, the end of the stem, and
        the ends of the four stages.

    Raises:
        ValueError: There is no map of one of the strides.
    """
    operations = network.operations  # In topological order, the input first
    tensors = [operation.output for operation in operations]
    position = {id(tensor): index for index, tensor in enumerate(tensors)}
    last_reader = list(range(len(tensors)))
    for index, operation in enumerate(operations[1:], start=1):
        for tensor in keras.tree.flatten(operation.input):
            last_reader[position[id(tensor)]] = index

    images, stem, ends, furthest = tensors[0], None, {}, 0
    for index, stride in enumerate(_strides(network, tensors)):
        is_end, furthest = furthest <= index, max(furthest, last_reader[index])
        if not is_end:
            continue
        if isinstance(operations[index], (keras.layers.Rescaling, keras.layers.Normalization)):
            images = tensors[index]
        elif stride == 2 or (stride == 4 and stem is None):
            stem = tensors[index]
        if stride in Backbone.strides:
            ends[stride] = tensors[index]
    missing = [str(stride) for stride in Backbone.strides if stride not in ends]
    if missing:
        raise ValueError(
            f"{name} cannot be a backbone: it has no map of exactly the size of the image divided "
            f"by {', '.join(missing)}, as a feature pyramid needs{_reason(operations)}"
        )
    return [images, stem, *(ends[stride] for stride in Backbone.strides)]


def _strides(network: keras.Model, tensors: list[keras.KerasTensor]) -> list[float | None]:
    """The stride of each map, None where height and width have none in common."""
    probe = keras.KerasTensor((1, *PROBE, 3), network.inputs[0].dtype)
    try:
        specs = keras.Function(network.inputs[0], tensors).compute_output_spec(probe)
    except ValueError:  # Branches whose maps differ in size meet.
        return [None] * len(tensors)
    strides = []
    for spec in specs:
        sides = spec.shape[1:3] if len(spec.shape) == 4 else PROBE[::-1]
        vertical, horizontal = (a / b for a, b in zip(PROBE, sides, strict=True))
        strides.append(vertical if vertical == horizontal else None)
    return strides


def _reason(operations: list) -> str:
    """Names the first layer that loses the border of its input, if there is one."""
    padded = [id(o.output) for o in operations if isinstance(o, keras.layers.ZeroPadding2D)]
    for operation in operations:
        window = getattr(operation, "kernel_size", getattr(operation, "pool_size", (1,)))
        is_valid = getattr(operation, "padding", None) == "valid" and max(window) > 1
        if is_valid and id(operation.input) not in padded:
            return f"; its layer {operation.name!r} does not pad its input (padding='valid')"
    return ""
