import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mrcnn_tf.models.predictor import Predictor, mask_regions, read_upright_image
from mrcnn_tf.ops.paste_masks import paste_masks
from mrcnn_tf.ops.resize_image import resize_image


class BrightSquares:
    """Finds the bounding box of what is brighter than 128, twice, in the pixels of its input."""

    image_size = (64, 128)
    traces = 0

    def __init__(self, with_masks=True):
        self.with_masks = with_masks

    def __call__(self, inputs, training=None):
        assert training is False
        BrightSquares.traces += 1
        bright = tf.cast(inputs["images"][..., 0] > 128, tf.float32)  # [B, H, W]
        across, down = tf.reduce_max(bright, 1), tf.reduce_max(bright, 2)

        def edges(line):
            first = tf.cast(tf.argmax(line, axis=-1), tf.float32)
            return first, first + tf.reduce_sum(line, axis=-1)

        (x1, x2), (y1, y2) = edges(across), edges(down)
        box = tf.stack([x1, y1, x2, y2], axis=-1)
        batch = tf.shape(bright)[0]
        outputs = {
            "boxes": tf.stack([box, box - 2.0, tf.zeros_like(box)], axis=1),
            "classes": tf.tile([[3, 1, -1]], [batch, 1]),
            "scores": tf.tile([[0.9, 0.4, 0.0]], [batch, 1]),
            "num_detections": tf.fill([batch], 2),
        }
        if self.with_masks:
            outputs["masks"] = tf.ones([batch, 3, 28, 28])
        return outputs


def square(height, width, x1, y1, x2, y2):
    image = np.zeros((height, width, 3), np.uint8)
    image[y1:y2, x1:x2] = 255
    return image


def test_detections_are_in_pixels_of_the_original_image():
    image = square(200, 300, 60, 40, 120, 160)
    prediction = Predictor(BrightSquares())(image)[0]
    assert {name: value.shape for name, value in prediction.items()} == {
        "boxes": (1, 4),
        "classes": (1,),
        "scores": (1,),
        "masks": (1, 28, 28),
        "image_masks": (1, 200, 300),
    }
    assert prediction["classes"].tolist() == [3]
    # One pixel of the resized image, 64 high, is 3.1 pixels of the original.
    np.testing.assert_allclose(prediction["boxes"], [[60, 40, 120, 160]], atol=3.2)
    assert prediction["image_masks"].dtype == np.uint8
    expected = image[..., 0] // 255
    assert np.mean(prediction["image_masks"][0] != expected) < 0.02


def test_threshold_size_and_models_without_masks():
    image = square(200, 300, 0, 0, 150, 100)
    predictor = Predictor(BrightSquares(with_masks=False), score_threshold=0.1, size=200)
    prediction = predictor(image)[0]
    assert sorted(prediction) == ["boxes", "classes", "scores"]
    np.testing.assert_allclose(prediction["scores"], [0.9, 0.4])
    # Fitted into 200 x 200, the second box starts at -2 pixels: clipped, not negative.
    np.testing.assert_allclose(prediction["boxes"][1], [0, 0, 147, 97], atol=1.6)
    empty = Predictor(BrightSquares(), score_threshold=0.95)(image)[0]
    assert empty["boxes"].shape == (0, 4)
    assert empty["image_masks"].shape == (0, 200, 300)


@pytest.mark.parametrize("method", ["antialias", "torchvision", "detectron2"])
def test_the_model_says_how_images_are_resized_and_masks_pasted(method):
    class Echo(BrightSquares):
        image_resize = method
        whole_pixel_masks = method == "torchvision"

        def __call__(self, inputs, training=None):
            given.append(inputs["images"])
            return super().__call__(inputs, training)

    given = []
    image = np.random.default_rng(0).integers(0, 256, (100, 161, 3), np.uint8)
    model = Echo()
    tf.config.run_functions_eagerly(True)
    try:
        prediction = Predictor(model)(image)[0]
    finally:
        tf.config.run_functions_eagerly(False)
    expected = resize_image(image, 64, 128, method)
    assert given[0].dtype == expected.dtype
    np.testing.assert_array_equal(given[0][0], expected)
    pasted = paste_masks(
        prediction["masks"], prediction["boxes"], 100, 161, whole_pixels=model.whole_pixel_masks
    )
    np.testing.assert_array_equal(prediction["image_masks"], pasted)


def test_images_of_many_sizes_are_traced_once(tmp_path):
    images = [square(60 + 7 * i, 100 - 5 * i, 10, 10, 40, 40) for i in range(6)]
    path = tmp_path / "image.png"
    Image.fromarray(images[0]).save(path)
    BrightSquares.traces = 0
    predictor = Predictor(BrightSquares())
    one_by_one = predictor([path, str(path), *images[1:]])
    batched = predictor.predict_batch(images)
    assert BrightSquares.traces == 1
    assert len(one_by_one) == 7
    for alone, together in zip(one_by_one[1:], batched, strict=True):
        np.testing.assert_array_equal(alone["boxes"], together["boxes"])


def test_arrays_and_their_errors():
    image = square(80, 80, 10, 10, 40, 40)
    predictor = Predictor(BrightSquares())
    expected = predictor(image)[0]["boxes"]
    np.testing.assert_array_equal(predictor(image.astype(np.float32) + 0.2)[0]["boxes"], expected)
    assert len(predictor(np.stack([image, image]))) == 2
    for wrong in (image[..., 0], np.zeros((8, 8, 4)), np.zeros((0, 8, 3))):
        with pytest.raises(ValueError, match=r"\[height, width, 3\], got shape"):
            predictor([wrong])


def test_read_upright_image_converts_to_rgb(tmp_path):
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    for mode, suffix in (("RGB", "png"), ("RGBA", "png"), ("L", "bmp"), ("P", "gif")):
        path = tmp_path / f"{mode}.{suffix}"
        Image.fromarray(pixels).convert(mode).save(path)
        image = read_upright_image(path)
        assert image.shape == (4, 4, 3) and image.dtype == np.uint8
        if suffix == "png":
            np.testing.assert_array_equal(image, pixels)

    deep = np.array([[0, 256, 65535]], np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    assert read_upright_image(tmp_path / "deep.png")[0, :, 1].tolist() == [0, 1, 255]

    turned = Image.fromarray(pixels[:2])
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.png", exif=exif)
    assert read_upright_image(tmp_path / "turned.png").shape == (4, 2, 3)


def test_unreadable_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="image file not found: .*missing.png"):
        read_upright_image(tmp_path / "missing.png")
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(ValueError, match=r"text.png is not an image"):
        read_upright_image(tmp_path / "text.png")
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    for suffix in ("jpg", "png"):
        path = tmp_path / f"whole.{suffix}"
        Image.fromarray(noise).save(path)
        short = tmp_path / f"short.{suffix}"
        short.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(ValueError, match=rf"cannot read image .*short.{suffix}"):
            read_upright_image(short)
    Image.fromarray(np.ones((4, 4), np.float32)).save(tmp_path / "float.tiff")
    with pytest.raises(ValueError, match="float.tiff holds 32-bit values"):
        read_upright_image(tmp_path / "float.tiff")
    with pytest.raises(ValueError, match="is a folder"):
        read_upright_image(tmp_path)


@pytest.mark.parametrize("whole_pixels", [False, True])
def test_mask_regions_equal_pasting_over_the_whole_image(whole_pixels):
    random = np.random.default_rng(1)
    count, height, width = 60, 240, 320
    masks = random.random((count, 28, 28), np.float32)
    corners = random.uniform(-20, 330, (count, 2, 2)).astype(np.float32)
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    boxes[:5, 2:] = boxes[:5, :2] + 0.4
    boxes[5] = [400, 10, 500, 20]
    whole = paste_masks(masks, boxes, height, width, whole_pixels=whole_pixels).numpy()
    different = 0
    regions = mask_regions(masks, boxes, height, width, whole_pixels)
    for expected, (x, y, region) in zip(whole, regions, strict=True):
        pasted = np.zeros_like(expected)
        pasted[y : y + region.shape[0], x : x + region.shape[1]] = region
        different += np.count_nonzero(pasted != expected)
    # Coordinates are rounded at another offset, so a pixel on the threshold may fall either way.
    assert different <= 1e-5 * whole.size
    assert whole.any()
