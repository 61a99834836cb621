"""Mask R-CNN as Matterport built it, for weights that were trained with it."""

import keras
import tensorflow as tf

from mrcnn_tf.boxes import rescale_inclusive_boxes
from mrcnn_tf.layers import (
    BestClassDetections,
    CropAndResizePooling,
    JointProposals,
    MatterportResNet,
    SquareImages,
)
from mrcnn_tf.models.detector import split_input
from mrcnn_tf.models.mask_rcnn import MaskRCNN

DEPTHS = {"resnet50": 50, "resnet101": 101}

# What differs from `MaskRCNN` by default, as in Matterport's `Config`.
MATTERPORT_ARGUMENTS = {
    "image_resize": "matterport",
    "norm_epsilon": 1e-3,
    "stride_in_1x1": True,
    "anchor_ratios": (2.0, 1.0, 0.5),
    "rpn_channels": 512,
    "rpn_pre_nms_top_n": (6000, 6000),
    "rois_per_image": 200,
    "positive_fraction": 0.33,
    "box_beta": 1.0,
    "binary_mask_targets": True,
    "score_threshold": 0.7,
    "nms_threshold": 0.3,
}
# Of RoIAlign, of candidates that are not made here, and of layers that are not there.
WITHOUT_USE = (
    "sampling_ratio",
    "roi_aligned",
    "nms_method",
    "nms_sigma",
    "min_detection_size",
    "fpn_norm",
    "head_norm",
    "box_conv",
    "keypoints",
    "keypoint_names",
    "keypoint_skeleton",
    "keypoint_classes",
    "keypoint_pool_size",
    "keypoint_channels",
    "keypoint_convs",
    "keypoint_decoding",
    "keypoint_loss_by_visible",
    "keypoint_rois_per_image",
)


@keras.saving.register_keras_serializable(package="mrcnn_tf")
class MatterportMaskRCNN(MaskRCNN):
    """Mask R-CNN with the answers of Matterport's `Mask_RCNN` 2.1, from its weights.

    Everything that `MaskRCNN` does it does too: it takes the same input, gives the same output,
    trains, is saved and exported. In between it differs:

    - each image lies in the middle of a square of black pixels, of which the network sees the mean
      pixel less; the square is `image_size[1]` wide, or as wide as a larger image;
    - proposals are the best of all levels together and may reach into the black;
    - features of a box are single bilinear samples, `CropAndResizePooling`;
    - a RoI is an object of its most probable class or none, `BestClassDetections`;
    - boxes are decoded with x2 and y2 at the last pixel, and anchors go from the wide one to the
      tall one.

    It learns by the losses of `MaskRCNN`, which encode boxes with x2 and y2 past the last pixel.

    Args:
        backbone: `"resnet50"` or `"resnet101"`.
        num_classes: classes without background.
        mask: predict masks.
        class_names: one name a class.
        category_ids: the data set's own id of each class; 1, 2, ... if not given.
        image_size: `(short, long)`, Matterport's `IMAGE_MIN_DIM` and `IMAGE_MAX_DIM`.
        **arguments: of `MaskRCNN`, the defaults being Matterport's. `rpn_pre_nms_top_n` counts the
            boxes of all levels. Those that have no meaning here, such as `sampling_ratio`, are
            refused.

    Raises:
        ValueError: see `MaskRCNN`; another backbone, or an argument without meaning.

    Source: https://github.com/matterport/Mask_RCNN.

    Example:

    >>> model = MatterportMaskRCNN("resnet50", num_classes=2, image_size=(128, 128))
    >>> model(np.zeros((1, 96, 128, 3), "uint8"))["masks"].shape
    TensorShape([1, 100, 28, 28])
    """

    def __init__(
        self,
        backbone: str = "resnet101",
        num_classes: int = 80,
        mask: bool = True,
        class_names: list[str] | None = None,
        category_ids: list[int] | None = None,
        image_size: int | tuple[int, int] = (800, 1024),
        **arguments,
    ):
        useless = [name for name in WITHOUT_USE if name in arguments]
        if useless:
            raise ValueError(f"{', '.join(useless)} has no meaning in a MatterportMaskRCNN.")
        if backbone not in DEPTHS:
            raise ValueError(
                f"backbone={backbone!r} is none of a MatterportMaskRCNN; choose one of "
                f"{', '.join(DEPTHS)}"
            )
        labels = (class_names, category_ids)
        arguments = {**MATTERPORT_ARGUMENTS, **arguments}
        super().__init__(backbone, num_classes, mask, *labels, image_size, **arguments)
        self.squares = SquareImages(self.image_size[1])

    def _build_backbone(self, name, base_channels=None, **options):
        return MatterportResNet(
            DEPTHS[name], base_channels=base_channels or 64, name=name, **options
        )

    def _build_proposals(self, *options):
        return JointProposals(*options)

    def _build_pooling(self, output_size):
        return CropAndResizePooling(
            output_size,
            self.fpn.strides[:-1],
            self.arguments["roi_canonical_size"],
            dtype=self.dtype_policy,
        )

    def _build_detections(self):
        return BestClassDetections(
            self.box_weights,
            self.arguments["score_threshold"],
            self.arguments["nms_threshold"],
            self.max_detections,
        )

    def call(self, inputs, training: bool = False):
        squares, windows = self.squares(*split_input(inputs))
        _, sizes = split_input(squares)
        pyramid = self.features(squares, sizes, training)
        logits, deltas = self.rpn(pyramid)
        boxes, _, count = self.proposals(logits, deltas, self.anchors(pyramid), sizes)
        pooled = self.box_pooling(pyramid[:-1], boxes)
        class_logits, box_deltas = self.box_head(pooled, training=False)
        detections = self.detections(class_logits, box_deltas, boxes, count, windows)
        detections = self._with_regions(detections, pyramid)
        is_kept = (detections["classes"] >= 0)[..., None]
        boxes = detections["boxes"] - _corners(windows)
        return {**detections, "boxes": tf.where(is_kept, boxes, 0.0)}

    def compute_losses(self, x, y, training: bool = True, step=0, samples=None):
        """See `MaskRCNN.compute_losses`; `samples["proposals"]` are in pixels of the squares."""
        squares, windows = self.squares(*split_input(x))
        moved = {name: y[name] + _corners(windows) for name in ("boxes", "mask_boxes") if name in y}
        return super().compute_losses(squares, {**y, **moved}, training, step, samples)

    @staticmethod
    def rescale_boxes(boxes, sizes, new_sizes):
        """What `Predictor` and exported models do to return to the pixels of the original image."""
        return rescale_inclusive_boxes(boxes, sizes, new_sizes)

    def get_config(self):
        return {
            name: value for name, value in super().get_config().items() if name not in WITHOUT_USE
        }


def _corners(windows: tf.Tensor) -> tf.Tensor:
    """The upper left corners of windows `[B, 4]`, to be added to boxes `[B, N, 4]`."""
    return tf.tile(windows[:, None, :2], [1, 1, 2])
