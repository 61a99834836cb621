"""Detections drawn over an image."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mrcnn_tf.visualize.colors import instance_color, text_color
from mrcnn_tf.visualize.draw_skeletons import draw_skeleton, limb_width


def draw_instances(
    image: np.ndarray | Image.Image,
    prediction: dict[str, np.ndarray],
    class_names: list[str] | None = None,
    score_threshold: float = 0.0,
    alpha: float = 0.45,
    boxes: bool = True,
    labels: bool = True,
    skeleton: Sequence[tuple[int, int]] | None = None,
    keypoint_names: Sequence[str] | None = None,
    keypoint_threshold: float = 0.05,
) -> Image.Image:
    """Draws masks, boxes, skeletons and labels of one image's detections.

    Every instance has a colour of its own, always the same for its place in the prediction. The
    widths of lines and the size of the text follow the size of the image, and smaller instances
    lie on top. A label that finds no free place at its box is left out, so that in a crowd the
    objects stay visible; those of the best scores come first. Joints and limbs are coloured by the
    side of the body that they belong to: blue left, red right, green between.

    Args:
        image: `[H, W, 3]` uint8 RGB, or a Pillow image.
        prediction: what `Predictor` returns for the image: `boxes`, `classes`, `scores` and,
            for a model with masks, `image_masks` `[D, H, W]`, for one with joints `keypoints`
            `[D, K, 3]`. Without `scores`, as from a ground truth, labels have no number, and a
            joint's third value is COCO's visibility: hidden joints are rings with thin limbs.
        class_names: names for the labels. Default: the class's number.
        score_threshold: leave out detections with a lower score.
        alpha: opacity of the masks, 0 to 1.
        boxes: draw the boxes.
        labels: write class and score.
        skeleton: pairs of joints, counted from 0, to draw limbs between, for instance
            `model.keypoint_skeleton`. Default: joints alone.
        keypoint_names: of the joints; "left" and "right" in them decide the colours.
        keypoint_threshold: leave out joints with a lower score.

    Returns:
        A new RGB image of the same size.

    Raises:
        ValueError: the masks are of another size than the image, or a class has no name.

    Example:

    ```python
    from mrcnn_tf.models.predictor import read_upright_image

    image = read_upright_image("photo.jpg")
    prediction = predictor(image)[0]
    draw_instances(image, prediction, model.class_names).save("photo_instances.png")
    ```
    """
    pixels = np.array(image.convert("RGB") if isinstance(image, Image.Image) else image, np.uint8)
    order = _drawn(prediction, score_threshold)
    thickness = max(1, round(max(pixels.shape[:2]) / 600))
    masks = prediction.get("image_masks")
    if masks is not None:
        if masks.shape[1:] != pixels.shape[:2]:
            raise ValueError(
                f"image_masks are {masks.shape[1]} x {masks.shape[2]} pixels, but the image is "
                f"{pixels.shape[0]} x {pixels.shape[1]} (height x width)"
            )
        areas = np.count_nonzero(masks[order], axis=(1, 2))
        for index in order[np.argsort(-areas, kind="stable")]:
            _blend(pixels, masks[index], instance_color(int(index)), alpha, thickness)
    drawn = Image.fromarray(pixels)
    canvas = ImageDraw.Draw(drawn)
    if boxes:
        for index in order[::-1]:
            outline = instance_color(int(index))
            canvas.rectangle(_corners(prediction, index, drawn), outline=outline, width=thickness)
    if "keypoints" in prediction:
        hidden = None if "scores" in prediction else prediction["keypoints"][..., 2] == 1
        for index in order[::-1]:
            x1, y1, x2, y2 = prediction["boxes"][index]
            draw_skeleton(
                drawn,
                prediction["keypoints"][index],
                skeleton or (),
                keypoint_names,
                keypoint_threshold,
                None if hidden is None else hidden[index],
                limb_width(float(max(x2 - x1, y2 - y1)), max(drawn.size)),
            )
    if labels:
        _write_labels(canvas, drawn, prediction, order, class_names)
    return drawn


def _drawn(prediction: dict[str, np.ndarray], score_threshold: float) -> np.ndarray:
    scores = prediction.get("scores")
    if scores is None:
        return np.arange(len(prediction["boxes"]))
    order = np.argsort(-np.asarray(scores), kind="stable")
    return order[np.asarray(scores)[order] >= score_threshold]


def _blend(
    pixels: np.ndarray, mask: np.ndarray, color: tuple[int, int, int], alpha: float, thickness: int
) -> None:
    """Tints the pixels of a mask and draws its outline inside it, in place."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        return
    part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    inside = mask[part].astype(bool)
    interior = np.pad(inside, 1)
    for _ in range(thickness):
        around = interior.copy()
        around[1:] &= interior[:-1]
        around[:-1] &= interior[1:]
        around[:, 1:] &= interior[:, :-1]
        around[:, :-1] &= interior[:, 1:]
        interior = around
    outline = inside & ~interior[1:-1, 1:-1]
    region = pixels[part]
    region[inside] = np.rint((1 - alpha) * region[inside] + alpha * np.array(color))
    region[outline] = color


def _corners(prediction: dict[str, np.ndarray], index: int, image: Image.Image) -> list[int]:
    """First and last pixel of a box, the upper left one and the lower right one."""
    x1, y1, x2, y2 = (float(value) for value in prediction["boxes"][index])
    left = min(max(round(x1), 0), image.width - 1)
    top = min(max(round(y1), 0), image.height - 1)
    right = max(left, min(round(x2) - 1, image.width - 1))
    return [left, top, right, max(top, min(round(y2) - 1, image.height - 1))]


def _write_labels(
    canvas: ImageDraw.ImageDraw,
    image: Image.Image,
    prediction: dict[str, np.ndarray],
    order: np.ndarray,
    class_names: list[str] | None,
) -> None:
    font = ImageFont.load_default(size=min(48, max(10, round(max(image.size) / 48))))
    ascent, descent = font.getmetrics()
    padding = max(1, round(ascent / 6))
    height = ascent + descent
    corners = {index: _corners(prediction, index, image) for index in order}
    # Labels do not hide objects that are hardly larger than they are.
    small = {i: box for i, box in corners.items() if _area(box) < 4 * height * height}
    taken: list[tuple[int, int, int, int]] = []
    for index in order:
        text = _label(prediction, index, class_names)
        width = round(font.getlength(text)) + 2 * padding
        left, top, _, bottom = corners[index]
        blocked = taken + [box for i, box in small.items() if i != index]
        x = max(0, min(left, image.width - width))
        # Above the box, within it at the top, or below it.
        for y in (top - height, top, bottom + 1):
            place = (x, y, x + width, y + height)
            if y >= 0 and place[3] <= image.height and not _overlaps(place, blocked):
                background = instance_color(int(index))
                canvas.rectangle((x, y, x + width - 1, y + height - 1), fill=background)
                canvas.text((x + padding, y), text, fill=text_color(background), font=font)
                taken.append(place)
                break


def _label(prediction: dict[str, np.ndarray], index: int, class_names: list[str] | None) -> str:
    class_index = int(prediction["classes"][index])
    if class_names is None:
        name = str(class_index)
    elif 0 <= class_index < len(class_names):
        name = class_names[class_index]
    else:
        raise ValueError(f"class {class_index} has no name: class_names has {len(class_names)}")
    if "scores" not in prediction:
        return name
    return f"{name} {float(prediction['scores'][index]):.2f}"


def _area(box: list[int]) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def _overlaps(place: tuple[int, ...], others: list) -> bool:
    left, top, right, bottom = place
    return any(
        left < other[2] and other[0] < right and top < other[3] and other[1] < bottom
        for other in others
    )
