"""`Sample`: one image and its objects, as they are between reading and batching."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Sample:
    """One image and its objects.

    Attributes:
        image: uint8 [H, W, 3].
        image_id: the dataset's id.
        boxes: float32 [N, 4] in pixels of `image`.
        classes: int32 [N].
        is_crowd: bool [N].
        crops: bool [h, w] for each object, or None where it has no mask.
        mask_boxes: float32 [N, 4], the region of `image` that each crop covers, zeros where there
            is none.
        keypoints: float32 [N, K, 3], x, y in pixels of `image` and visibility, zeros where a joint
            is not annotated; None where joints are not read.
        mirrored_joints: int [K], the joint that each one is in a mirror, with `keypoints` alone.
        visible: float32 [N], the part of each object, of its mask or else of its box, that crops
            and other objects have left; None is 1 for all.
    """

    image: np.ndarray
    image_id: int
    boxes: np.ndarray
    classes: np.ndarray
    is_crowd: np.ndarray
    crops: list[np.ndarray | None]
    mask_boxes: np.ndarray
    keypoints: np.ndarray | None = None
    mirrored_joints: np.ndarray | None = None
    visible: np.ndarray | None = None

    def take(self, keep: np.ndarray) -> Sample:
        """The sample with only the objects at the indices `keep`."""
        return replace(
            self,
            boxes=self.boxes[keep],
            classes=self.classes[keep],
            is_crowd=self.is_crowd[keep],
            crops=[self.crops[i] for i in keep],
            mask_boxes=self.mask_boxes[keep],
            keypoints=None if self.keypoints is None else self.keypoints[keep],
            visible=None if self.visible is None else self.visible[keep],
        )

    def with_visible(self, share: np.ndarray) -> Sample:
        """The sample after objects were cut to these parts of what was left of them."""
        before = np.ones(len(self.classes), np.float32) if self.visible is None else self.visible
        return replace(self, visible=(before * share).astype(np.float32))
