"""All instances of an image in one array of numbers."""

import numpy as np


def instance_map(prediction: dict[str, np.ndarray]) -> np.ndarray:
    """Numbers the pixels of an image by instance.

    Args:
        prediction: what `Predictor` returns for an image, of a model with masks.

    Returns:
        `[H, W]` uint16: 0 for background, `i + 1` for row `i` of the prediction. Where masks
        overlap, the one with the higher score counts. As a file: `PIL.Image.fromarray(map)`
        saves it as a 16-bit PNG.

    Raises:
        ValueError: the prediction has no `image_masks`.
    """
    if "image_masks" not in prediction:
        raise ValueError("an instance map needs image_masks, which a model with mask=True gives")
    masks = prediction["image_masks"]
    numbers = np.zeros(masks.shape[1:], np.uint16)
    for index in np.argsort(prediction["scores"], kind="stable"):
        numbers[masks[index] > 0] = index + 1
    return numbers
