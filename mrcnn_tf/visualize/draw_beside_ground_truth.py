"""What a model finds in an image beside what is annotated there."""

import numpy as np
from PIL import Image, ImageOps

from mrcnn_tf.data.coco_dataset import CocoDataset
from mrcnn_tf.models.predictor import Predictor
from mrcnn_tf.visualize.draw_ground_truth import draw_ground_truth
from mrcnn_tf.visualize.draw_instances import draw_instances

_GAP = 8  # pixels between the halves


def draw_beside_ground_truth(
    predictor: Predictor,
    dataset: CocoDataset,
    image_id: int,
    score_threshold: float = 0.5,
    longest_side: int = 640,
) -> Image.Image:
    """Draws the annotations of one image on the left and a model's detections on the right.

    Args:
        predictor: of the model.
        dataset: a `mrcnn_tf.data.CocoDataset`.
        image_id: one of `dataset.image_ids`.
        score_threshold: leave out detections with a lower score.
        longest_side: of each half in pixels; larger ones are made smaller.

    Returns:
        An RGB image of two halves.

    Example:

    ```python
    predictor = mrcnn_tf.Predictor(mrcnn_tf.load("model.keras"))
    draw_beside_ground_truth(predictor, dataset, dataset.image_ids[0]).save("first.png")
    ```
    """
    model, path = predictor.model, dataset.path(image_id)
    prediction = predictor(path)[0]
    is_drawn = prediction["scores"] >= score_threshold
    prediction = {name: value[is_drawn] for name, value in prediction.items()}
    found = draw_instances(
        ImageOps.exif_transpose(Image.open(path)),
        prediction,
        model.class_names,
        skeleton=getattr(model, "keypoint_skeleton", None),
        keypoint_names=getattr(model, "keypoint_names", None),
    )
    halves = [draw_ground_truth(dataset, image_id), found]
    for half in halves:
        half.thumbnail((longest_side, longest_side))
    width, height = np.max([half.size for half in halves], axis=0)
    both = Image.new("RGB", (int(2 * width) + _GAP, int(height)), "white")
    both.paste(halves[0], (0, 0))
    both.paste(halves[1], (int(width) + _GAP, 0))
    return both
