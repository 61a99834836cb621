"""Detections for image files and arrays, in the pixels of the original images."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps, UnidentifiedImageError

from mrcnn_tf.boxes import rescale_boxes, rescale_points
from mrcnn_tf.ops.paste_masks import paste_masks, whole_pixel_boxes
from mrcnn_tf.ops.resize_image import RESIZE_METHODS, resize_image

ImageLike = str | os.PathLike | np.ndarray


class Predictor:
    """Runs a model on images of any size and returns what it finds in their own pixels.

    The model takes a batch of resized, padded images and answers in the pixels of that batch, with
    masks of 28 x 28. The predictor does what lies around it: it reads and resizes the image, cuts
    the padded rows off, scales the boxes back, and pastes the masks at image size.

    Images of every size run through one traced function, so there is no retracing. Images are
    resized by the model's `image_resize`, and masks pasted by its `whole_pixel_masks`, so that a
    model with the weights and arguments of torchvision or Detectron2 gives that library's results.

    Args:
        model: a `MaskRCNN`, for instance from `mrcnn_tf.load("model.keras")`, or any callable
            with the same inputs and outputs.
        score_threshold: detections below this score are left out. The model has a
            `score_threshold` of its own, usually lower, which this one cannot undercut.
        size: `(short_side, long_side)` to resize images to, an integer `n` for the largest size
            that fits `n` x `n`. Default: the model's `image_size`.

    Example:

    ```python
    import mrcnn_tf

    predictor = mrcnn_tf.models.Predictor(mrcnn_tf.load("model.keras"))
    detections = predictor("photo.jpg")[0]
    detections["boxes"]        # [D, 4] float32, x1 y1 x2 y2 in the photo's pixels
    detections["image_masks"]  # [D, H, W] uint8, 1 on the object
    ```
    """

    def __init__(
        self,
        model: Callable,
        score_threshold: float = 0.5,
        size: int | tuple[int, int] | None = None,
    ) -> None:
        self.model = model
        self.score_threshold = score_threshold
        size = model.image_size if size is None else size
        self.size = (size, size) if isinstance(size, int) else tuple(size)
        self.image_resize = getattr(model, "image_resize", "antialias")
        self.whole_pixel_masks = getattr(model, "whole_pixel_masks", False)
        self._rescale_boxes = getattr(model, "rescale_boxes", rescale_boxes)
        self._predict = _traced(model, RESIZE_METHODS[self.image_resize])

    def __call__(self, images: ImageLike | list[ImageLike]) -> list[dict[str, np.ndarray]]:
        """Detects the objects of one image or several, one image at a time.

        Args:
            images: a path, an array `[H, W, 3]` RGB 0..255, a list of either, or an array
                `[B, H, W, 3]`. A file is turned upright where its EXIF entry says how.

        Returns:
            A list with one dictionary of arrays an image, best score first: `boxes` `[D, 4]`
            float32 in pixels of the image, `classes` `[D]` int32, `scores` `[D]` float32, and
            for a model with masks `masks` `[D, 28, 28]` float32 probabilities within the box and
            `image_masks` `[D, H, W]` uint8, 0 or 1, for a model with joints `keypoints`
            `[D, K, 3]` float32, x and y in pixels of the image and the joint's score.

        Raises:
            FileNotFoundError: there is no such file; the message names it.
            ValueError: a file that is not a readable image, or an array of another shape.
        """
        is_array = isinstance(images, np.ndarray) and images.ndim == 3
        if is_array or isinstance(images, (str, os.PathLike)):
            images = [images]
        predictions = []
        for image in images:
            image = _as_image(image)
            prediction = self.predict_batch([image])[0]
            if "masks" in prediction:
                prediction["image_masks"] = self._paste(prediction, *image.shape[:2])
            predictions.append(prediction)
        return predictions

    def predict_batch(self, images: list[np.ndarray]) -> list[dict[str, np.ndarray]]:
        """Detects the objects of several images in one call of the model.

        The images, uint8 `[H, W, 3]`, may differ in size; each is padded to the largest resized
        height and width among them. The result is that of a call, without `image_masks`.
        """
        resized = [
            np.asarray(resize_image(image, *self.size, self.image_resize)) for image in images
        ]
        sizes = np.array([image.shape[:2] for image in resized], np.int32)
        batch = np.zeros((len(images), *sizes.max(axis=0), 3), resized[0].dtype)
        for row, image in zip(batch, resized, strict=True):
            row[: image.shape[0], : image.shape[1]] = image
        outputs = {name: value.numpy() for name, value in self._predict(batch, sizes).items()}
        return [
            self._restore(outputs, row, image.shape[:2], sizes[row])
            for row, image in enumerate(images)
        ]

    def _restore(
        self,
        outputs: dict[str, np.ndarray],
        row: int,
        image_size: tuple[int, int],
        resized_size: np.ndarray,
    ) -> dict[str, np.ndarray]:
        count = outputs["num_detections"][row]
        detections = {
            name: outputs[name][row, :count]
            for name in ("boxes", "classes", "scores", "masks", "keypoints")
            if name in outputs
        }
        keep = detections["scores"] >= self.score_threshold
        detections = {name: value[keep] for name, value in detections.items()}
        boxes = self._rescale_boxes(detections["boxes"], resized_size, image_size)
        moved = {"boxes": boxes.numpy()}
        if "keypoints" in detections:
            points = rescale_points(detections["keypoints"], resized_size, image_size)
            moved["keypoints"] = points.numpy()
        return detections | moved

    def _paste(self, prediction: dict[str, np.ndarray], height: int, width: int) -> np.ndarray:
        masks, boxes = prediction["masks"], prediction["boxes"]
        image_masks = np.zeros((len(masks), height, width), np.uint8)
        regions = mask_regions(masks, boxes, height, width, self.whole_pixel_masks)
        for image_mask, (x, y, region) in zip(image_masks, regions, strict=True):
            image_mask[y : y + region.shape[0], x : x + region.shape[1]] = region
        return image_masks


def read_upright_image(path: str | os.PathLike) -> np.ndarray:
    """Reads an image file as uint8 RGB `[H, W, 3]`, turned upright as its EXIF entry says.

    Grey, palette and CMYK images are converted, an alpha channel is dropped, and of 16-bit grey
    values the upper 8 bits are taken. `mrcnn_tf.data.read_image` is its counterpart for annotated
    images, which leaves the pixels as they are stored.

    Args:
        path: a file in any format that Pillow reads.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not an image, is cut short, or holds 32-bit values.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder, not an image file")
    try:
        with Image.open(path) as image:
            image.load()
            image = ImageOps.exif_transpose(image)
            if image.mode.startswith("I;16"):
                grey = (np.asarray(image) >> 8).astype(np.uint8)
                return np.repeat(grey[..., np.newaxis], 3, axis=-1)
            if image.mode in ("I", "F"):
                raise ValueError(
                    f"{path} holds 32-bit values, whose range is unknown: convert it to 8 bits"
                )
            return np.array(image.convert("RGB"))
    except FileNotFoundError:
        raise FileNotFoundError(f"image file not found: {path}") from None
    except UnidentifiedImageError:
        raise ValueError(f"{path} is not an image that can be read") from None
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        # Pillow reports a broken PNG chunk as a SyntaxError.
        raise ValueError(f"cannot read image {path}: {error}") from error


def mask_regions(
    masks: np.ndarray, boxes: np.ndarray, height: int, width: int, whole_pixels: bool = False
) -> Iterator[tuple[int, int, np.ndarray]]:
    """Pastes each mask into the part of the image around its own box.

    A box usually covers a small part of the image, and the mask is empty elsewhere, so this takes
    a fraction of the time and memory of `paste_masks` over the whole image, with the same pixels.

    Args:
        masks: `[D, 28, 28]` probabilities.
        boxes: `[D, 4]` in pixels of the image.
        height: height of the image in pixels.
        width: width of the image in pixels.
        whole_pixels: see `paste_masks`.

    Yields:
        For each mask `(x, y, region)`: `region` is a uint8 `[h, w]` of 0 and 1 whose upper left
        pixel is pixel `(x, y)` of the image; of no size where the box has no pixel in the image.
    """
    if whole_pixels:
        boxes = whole_pixel_boxes(boxes, masks.shape[2]).numpy()
    # Interpolation against the zeros around a mask reaches half a mask cell beyond the box.
    cells = np.array([masks.shape[2], masks.shape[1]] * 2, np.float32)
    extent = np.tile(boxes[:, 2:] - boxes[:, :2], 2) / (2 * cells)
    limit = np.array([width, height] * 2)
    corners = np.clip(boxes + extent * np.array([-1, -1, 1, 1], np.float32), 0, limit)
    corners[:, :2] = np.floor(corners[:, :2])
    corners[:, 2:] = np.ceil(corners[:, 2:])
    for mask, box, (x1, y1, x2, y2) in zip(masks, boxes, corners.astype(np.int32), strict=True):
        if x2 <= x1 or y2 <= y1:
            yield int(x1), int(y1), np.zeros((0, 0), np.uint8)
            continue
        origin = np.array([x1, y1, x1, y1], np.float32)
        region = _paste_one(mask[None], (box - origin)[None], y2 - y1, x2 - x1)
        yield int(x1), int(y1), region.numpy()[0]


@tf.function(
    input_signature=[
        tf.TensorSpec([1, None, None], tf.float32),
        tf.TensorSpec([1, 4], tf.float32),
        tf.TensorSpec([], tf.int32),
        tf.TensorSpec([], tf.int32),
    ],
    autograph=False,
)
def _paste_one(mask, box, height, width):
    return paste_masks(mask, box, height, width)


def _traced(model: Callable, dtype: tf.DType) -> Callable:
    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None, None, 3], dtype),
            tf.TensorSpec([None, 2], tf.int32),
        ],
        autograph=False,
    )
    def predict(images, image_sizes):
        return model({"images": images, "image_sizes": image_sizes}, training=False)

    return predict


def _as_image(image: ImageLike) -> np.ndarray:
    if isinstance(image, (str, os.PathLike)):
        return read_upright_image(image)
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"an image must be an array [height, width, 3], got shape {image.shape}")
    if image.dtype == np.uint8:
        return image
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)
