from pathlib import Path

import numpy as np
import tensorflow as tf

from mrcnn_tf.layers import KeypointHead
from tests.layers.layer_case import check_layer
from tests.weights.seeded_tensors import seeded_tensor

GOLDEN = Path(__file__).parents[1] / "golden" / "torchvision_keypoints.npz"
POOLED = tf.random.stateless_normal([2, 3, 6, 6, 4], [0, 1])


def test_serialisation_and_precision():
    check_layer(
        lambda **kwargs: KeypointHead(4, num_keypoints=5, channels=8, num_convs=2, **kwargs),
        [POOLED],
        num_weights=6,
        mixed_dtypes=["float32"],
    )


def test_heatmaps_are_four_times_the_pooled_size():
    assert KeypointHead(4, 5, channels=8, num_convs=1)(POOLED).shape == (2, 3, 24, 24, 5)
    head = KeypointHead(4, 5, num_convs=0)
    assert len(head.weights) == 2 and head(POOLED[:, :0]).shape == (2, 0, 24, 24, 5)
    published = KeypointHead(256)
    assert [conv.filters for conv in published.convs] == [512] * 8
    assert published.logits.kernel.shape == (4, 4, 17, 512)


def test_rows_do_not_mix():
    head = KeypointHead(4, 5, channels=8, num_convs=2)
    np.testing.assert_allclose(head(POOLED)[1:, 1:], head(POOLED[1:, 1:]), atol=1e-6)


def test_one_pooled_cell_reaches_its_cells_of_the_heatmap():
    """A kernel of ones at the taps in the middle doubles the grid; upsampling blends neighbours."""
    head = KeypointHead(1, 1, num_convs=0)
    kernel = np.zeros([4, 4, 1, 1], np.float32)
    kernel[1:3, 1:3] = 1
    head.logits.kernel.assign(kernel)
    pooled = np.zeros([1, 1, 4, 4, 1], np.float32)
    pooled[0, 0, 1, 2] = 1
    across = np.float32([0, 0, 0, 0, 0, 0, 0, 0.25, 0.75, 1, 1, 0.75, 0.25, 0, 0, 0])
    down = np.float32([0, 0, 0, 0.25, 0.75, 1, 1, 0.75, 0.25, 0, 0, 0, 0, 0, 0, 0])
    np.testing.assert_allclose(head(pooled)[0, 0, :, :, 0], np.outer(down, across), atol=1e-6)


def test_activations_neither_vanish_nor_explode_before_training():
    head = KeypointHead(64, channels=64, num_convs=8)
    features = tf.random.stateless_normal([8, 14, 14, 64], [0, 2])
    for layer in head.convs:
        features = layer(features)
    assert 0.2 < float(tf.math.reduce_std(features)) < 3


def test_heatmaps_and_gradients_in_float64_are_those_of_torchvision():
    """The loss is linear, so that gradients are float64's although heatmaps become float32."""
    with np.load(GOLDEN) as file:
        golden = {name[5:]: file[name] for name in file.files if name.startswith("head.")}
    head = KeypointHead(3, num_keypoints=3, channels=5, num_convs=3, dtype="float64")
    # torchvision's names, in the order of these weights
    names = [f"{layer}.{kind}" for layer in ("0.0", "0.2", "0.4") for kind in ("weight", "bias")]
    names += ["1.kps_score_lowres.weight", "1.kps_score_lowres.bias"]
    assert set(names) == golden.keys() - {"pooled", "weights", "heatmaps"}
    for weight, name in zip(head.weights, names, strict=True):
        assert weight.dtype == "float64"
        weight.assign(_channels_last_kernel(seeded_tensor(name, golden[name].shape)))
    pooled = np.moveaxis(seeded_tensor("pooled", (2, 3, 4, 4)), 1, -1)[None]
    pooled = tf.constant(pooled, tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(pooled)
        heatmaps = head(pooled)
        total = tf.reduce_sum(heatmaps * golden["weights"].astype(np.float32))
    np.testing.assert_allclose(heatmaps[0], golden["heatmaps"], rtol=0, atol=1e-6)
    found = tape.gradient(total, [pooled, *(weight.value for weight in head.weights)])
    expected = [golden["pooled"][None], *(_channels_last_kernel(golden[name]) for name in names)]
    for name, ours, theirs in zip(["pooled", *names], found, expected, strict=True):
        largest = np.abs(theirs).max()
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12 * largest, err_msg=name)


def _channels_last_kernel(tensor: np.ndarray) -> np.ndarray:
    """Of a convolution, and of a transposed one, whose axes of channels are the other way round."""
    return tensor.transpose(2, 3, 1, 0) if tensor.ndim == 4 else tensor
