"""Annotations drawn over their image."""

import numpy as np
from PIL import Image

from mrcnn_tf.data.coco_dataset import CocoDataset
from mrcnn_tf.data.image_files import read_image
from mrcnn_tf.data.instance_masks import decode_crop
from mrcnn_tf.data.keypoints import read_keypoints
from mrcnn_tf.visualize.draw_instances import draw_instances


def draw_ground_truth(dataset: CocoDataset, image_id: int, **options) -> Image.Image:
    """Draws the annotations of one image, to see what a model is given to learn.

    Args:
        dataset: a `mrcnn_tf.data.CocoDataset`.
        image_id: one of `dataset.image_ids`.
        **options: as for `draw_instances`: `alpha`, `boxes`, `labels`.

    Joints are drawn where the data set has some, hidden ones as rings.

    Returns:
        An RGB image of the size of the dataset's.

    Example:

    ```python
    dataset = mrcnn_tf.data.CocoDataset("images", "annotations/train.json")
    draw_ground_truth(dataset, dataset.image_ids[0]).save("first.png")
    ```
    """
    annotations = dataset.annotations(image_id)
    image = read_image(dataset.path(image_id))
    truth = {
        "boxes": np.array([dataset.box(a) for a in annotations], np.float32).reshape(-1, 4),
        "classes": np.array([dataset.class_of(a) for a in annotations], np.int32),
        "image_masks": np.zeros((len(annotations), *image.shape[:2]), np.uint8),
    }
    for mask, annotation in zip(truth["image_masks"], annotations, strict=True):
        segmentation = annotation.get("segmentation")
        if segmentation and (found := decode_crop(segmentation, *image.shape[:2])):
            crop, (x1, y1, x2, y2) = found
            mask[y1:y2, x1:x2] = crop
    if dataset.keypoint_classes:
        names = dataset.keypoint_names
        joints = [read_keypoints(annotation, len(names)) for annotation in annotations]
        truth["keypoints"] = np.array(joints, np.float32).reshape(-1, len(names), 3)
        options = {"skeleton": dataset.keypoint_skeleton, "keypoint_names": names, **options}
    return draw_instances(image, truth, dataset.class_names, **options)
