"""Mask R-CNN, assembled."""

import keras
import tensorflow as tf

from mrcnn_tf.layers import (
    FPN,
    AnchorGenerator,
    BoxHead,
    KeypointDecoding,
    KeypointHead,
    MaskHead,
    NormalizeImages,
    RPNHead,
)
from mrcnn_tf.losses import BOX_REGRESSIONS, select_class
from mrcnn_tf.models.arguments import (
    CONFIG_VERSION,
    check_choice,
    check_config_version,
    check_head_norm,
    check_keypoints,
    check_labels,
    check_pair,
)
from mrcnn_tf.models.detector import Detector, split_input
from mrcnn_tf.models.mask_rcnn_losses import LOSS_NAMES, mask_rcnn_losses
from mrcnn_tf.models.replaceable_layers import ReplaceableLayers
from mrcnn_tf.ops.resize_image import check_method


@keras.saving.register_keras_serializable(package="mrcnn_tf")
class MaskRCNN(ReplaceableLayers, Detector):
    """Mask R-CNN with a feature pyramid: boxes, classes, scores, masks and joints of every object.

    An ordinary Keras model: `compile(optimizer=...)`, `fit`, `evaluate`, `predict`, `save`. With
    `mask=False` it is Faster R-CNN, with `keypoints=17` as well Keypoint R-CNN. Every default is
    the paper's or torchvision's; smaller numbers make a smaller model out of the same code.

    Args:
        backbone: `"resnet18"`, `"resnet34"`, `"resnet50"`, `"resnet101"`, `"efficientnet_lite0"`,
            or `"keras/"` and a network of keras.applications, such as `"keras/EfficientNetV2B0"`.
        num_classes: classes without background.
        mask: predict masks.
        class_names: one name a class.
        category_ids: the data set's own id of each class; 1, 2, ... if not given.
        image_size: `(short, long)` sides in pixels to which `Predictor` and evaluation resize; n
            means (n, n).
        image_resize: how they do it: `"antialias"`, `"torchvision"`, `"detectron2"` or
            `"matterport"`, see `mrcnn_tf.ops.resize_image`.
        keypoints: joints to predict of every object, 17 for COCO's persons; 0: none.
        keypoint_names: one name a joint.
        keypoint_skeleton: pairs of joints, counted from 0, between which limbs are drawn.
        keypoint_classes: classes, counted from 0, that have joints; all if not given.
        norm: of the backbone: `"frozen_batch_norm"`, `"batch_norm"`, `"sync_batch_norm"` (over all
            replicas) or `"group_norm"`.
        norm_epsilon: added to the variance in a ResNet; 1e-5 if not given.
        frozen_stages: backbone stages that are not trained, the stem being the first.
        stride_in_1x1: ResNet bottlenecks stride in the 1x1 convolution (the paper's weights)
            instead of the 3x3 (torchvision's).
        backbone_channels: channels of a ResNet's stem, to which its stages are in proportion;
            64 if not given, as in every pretrained backbone.
        fpn_channels: channels of the pyramid.
        fpn_min_level: finest pyramid level; P2 has stride 4.
        fpn_norm: normalisation after the pyramid's convolutions, like `norm`; None for none.
        anchor_sizes: side in pixels of the square anchor, one a level from `fpn_min_level` to P6.
        anchor_ratios: height / width of the anchors.
        anchor_offset: position of the first anchor in strides; 0 as in the peers, or 0.5.
        rounded_anchors: anchors at whole pixels as in torchvision, see `AnchorGenerator`.
        rpn_channels: default `fpn_channels`.
        rpn_convs: hidden convolutions of the RPN.
        rpn_pre_nms_top_n: proposals per level before NMS, `(training, inference)`.
        rpn_post_nms_top_n: proposals per image after it, `(training, inference)`.
        rpn_nms_threshold: IoU of the proposals' NMS.
        rpn_iou: anchors are positive from the second IoU on and negative below the first.
        rpn_beta: smooth L1 loss's beta in the RPN.
        rpn_focal: learn objectness from all anchors by the focal loss, not from sampled ones.
        anchors_per_image: anchors sampled for the RPN's losses, at most half of them positive.
        roi_iou: IoU with an object from which a proposal is positive.
        rois_per_image: RoIs sampled for the heads' losses.
        positive_fraction: largest part of positive RoIs.
        roi_canonical_size: side in pixels of a box pooled from P4.
        roi_aligned: RoIAlign shifts by half a cell (Detectron2); torchvision's does not.
        sampling_ratio: RoIAlign's bilinear samples per bin and axis; 0 is adaptive.
        head_norm: normalisation after the 3x3 convolutions of box and mask head, like `norm`;
            None for none.
        box_pool_size: bins of the box head's features.
        box_conv: widths of 3x3 convolutions in the box head, before `box_fc`.
        box_fc: widths of the box head's fully connected layers.
        box_weights: factors of the box deltas.
        box_beta: smooth L1 loss's beta in the box head.
        box_regression: loss of the boxes of RPN and box head: `"smooth_l1"`, `"giou"`, `"ciou"`.
        class_agnostic_boxes: one box per RoI instead of one per class.
        mask_pool_size: bins of the mask head's features; masks have twice as many.
        mask_channels: width of the mask head.
        mask_convs: its 3x3 convolutions.
        class_agnostic_masks: one mask per RoI instead of one per class.
        binary_mask_targets: learn 0 and 1 (Detectron2) instead of the covered part of each bin
            (torchvision).
        mask_target_samples: bilinear samples per bin and axis of a mask target; 0 is adaptive, as
            in both peers, and slow without the compiled ops.
        keypoint_pool_size: bins of the keypoint head's features; heatmaps have four times as many.
        keypoint_channels: width of the keypoint head.
        keypoint_convs: its 3x3 convolutions.
        keypoint_decoding: from heatmaps to joints: `"grid"`, or exactly as `"torchvision"` or
            `"detectron2"`, see `KeypointDecoding`.
        keypoint_loss_by_visible: the keypoint loss is the mean over annotated joints in their
            RoI; False: the sum, divided by the joints of as many RoIs as can be positive.
        keypoint_rois_per_image: RoIs of objects with joints sampled for the keypoint loss alone;
            if not given, it learns from the positive RoIs of the other heads, as in both peers.
        score_threshold: lowest score of a detection.
        min_detection_size: smallest side of a detection in pixels; torchvision has 0.01.
        nms_threshold: IoU of the detections' NMS, within a class.
        nms_method: `"hard"`, or `"soft_linear"` or `"soft_gaussian"`, which lower the scores of
            doubles instead of dropping them.
        nms_sigma: of `"soft_gaussian"`.
        max_detections: rows of the output.
        whole_pixel_masks: `Predictor` and evaluation paste masks into boxes of whole pixels, as
            torchvision does.
        loss_weights: factors by loss name; 1 where not given.
        seed: of the sampling of anchors and RoIs.

    Call arguments:
        inputs: `[B, H, W, 3]` RGB in 0..255, or a dict of `images` and `image_sizes [B, 2]`
            (height, width without padding).

    Returns:
        dict of `boxes [B, D, 4]` in pixels of the input, `classes [B, D]` int32 (-1 in padded
        rows), `scores [B, D]`, `masks [B, D, 28, 28]` probabilities inside the box,
        `keypoints [B, D, K, 3]` (x, y in pixels of the input, the joint's score; zeros for a class
        without joints), and `num_detections [B]` int32.

    Raises:
        ValueError: names or ids whose number is not `num_classes` or `keypoints`, joints or classes
            that there are not, sizes that do not fit, `head_norm` where no head has a convolution.

    Reference: He et al., Mask R-CNN, 2017; Lin et al., Feature Pyramid Networks, 2017.

    Example:

    >>> model = MaskRCNN("resnet18", num_classes=2, fpn_channels=64, max_detections=10)
    >>> model(np.zeros((1, 64, 64, 3), "uint8"))["masks"].shape
    TensorShape([1, 10, 28, 28])
    """

    loss_names = LOSS_NAMES

    def __init__(
        self,
        backbone: str = "resnet50",
        num_classes: int = 80,
        mask: bool = True,
        class_names: list[str] | None = None,
        category_ids: list[int] | None = None,
        image_size: int | tuple[int, int] = (800, 1333),
        *,
        image_resize: str = "antialias",
        keypoints: int = 0,
        keypoint_names: list[str] | None = None,
        keypoint_skeleton: list[tuple[int, int]] | None = None,
        keypoint_classes: list[int] | None = None,
        norm: str = "frozen_batch_norm",
        norm_epsilon: float | None = None,
        frozen_stages: int = 2,
        stride_in_1x1: bool = False,
        backbone_channels: int | None = None,
        fpn_channels: int = 256,
        fpn_min_level: int = 2,
        fpn_norm: str | None = None,
        anchor_sizes=(32, 64, 128, 256, 512),
        anchor_ratios=(0.5, 1.0, 2.0),
        anchor_offset: float = 0.0,
        rounded_anchors: bool = False,
        rpn_channels: int | None = None,
        rpn_convs: int = 1,
        rpn_pre_nms_top_n: tuple[int, int] = (2000, 1000),
        rpn_post_nms_top_n: tuple[int, int] = (2000, 1000),
        rpn_nms_threshold: float = 0.7,
        rpn_iou: tuple[float, float] = (0.3, 0.7),
        rpn_beta: float = 1.0 / 9,
        rpn_focal: bool = False,
        anchors_per_image: int = 256,
        roi_iou: float = 0.5,
        rois_per_image: int = 512,
        positive_fraction: float = 0.25,
        roi_canonical_size: float = 224,
        roi_aligned: bool = True,
        sampling_ratio: int = 2,
        head_norm: str | None = None,
        box_pool_size: int = 7,
        box_conv: tuple[int, ...] = (),
        box_fc: tuple[int, ...] = (1024, 1024),
        box_weights: tuple[float, ...] = (10.0, 10.0, 5.0, 5.0),
        box_beta: float = 1.0 / 9,
        box_regression: str = "smooth_l1",
        class_agnostic_boxes: bool = False,
        mask_pool_size: int = 14,
        mask_channels: int = 256,
        mask_convs: int = 4,
        class_agnostic_masks: bool = False,
        binary_mask_targets: bool = False,
        mask_target_samples: int = 2,
        keypoint_pool_size: int = 14,
        keypoint_channels: int = 512,
        keypoint_convs: int = 8,
        keypoint_decoding: str = "grid",
        keypoint_loss_by_visible: bool = True,
        keypoint_rois_per_image: int | None = None,
        score_threshold: float = 0.05,
        min_detection_size: float = 0.0,
        nms_threshold: float = 0.5,
        nms_method: str = "hard",
        nms_sigma: float = 0.5,
        max_detections: int = 100,
        whole_pixel_masks: bool = False,
        loss_weights: dict[str, float] | None = None,
        seed: int = 0,
        config_version: int = CONFIG_VERSION,
        **kwargs,
    ):
        arguments = {
            name: value
            for name, value in locals().items()
            if name not in ("self", "kwargs", "__class__")
        }
        heads = {"mask_loss": mask, "keypoint_loss": keypoints}
        self.loss_names = tuple(name for name in LOSS_NAMES if heads.get(name, True))
        super().__init__(loss_weights, **kwargs)
        labels = check_labels(num_classes, class_names, category_ids)
        joints = (keypoint_names, keypoint_skeleton, keypoint_classes)
        labels |= check_keypoints(keypoints, *joints, num_classes, keypoint_rois_per_image)
        check_config_version(config_version)
        self.arguments = {**arguments, **labels}
        self.class_names, self.category_ids = labels["class_names"], labels["category_ids"]
        self.num_classes, self.mask, self.seed = num_classes, mask, seed
        self.keypoints, self.keypoint_names = keypoints, labels["keypoint_names"]
        self.keypoint_skeleton = labels["keypoint_skeleton"]
        self.keypoint_classes = labels["keypoint_classes"]
        self.keypoint_loss_by_visible = keypoint_loss_by_visible
        self.keypoint_rois_per_image = keypoint_rois_per_image
        sides = (image_size, image_size) if isinstance(image_size, int) else image_size
        self.image_size, self.max_detections = check_pair("image_size", sides), max_detections
        check_method("image_resize", image_resize)
        self.image_resize, self.whole_pixel_masks = image_resize, whole_pixel_masks
        self.rpn_iou, self.roi_iou = check_pair("rpn_iou", rpn_iou), roi_iou
        if rpn_iou[0] > rpn_iou[1]:
            raise ValueError(f"rpn_iou {rpn_iou} must be (negative below, positive from).")
        check_head_norm(head_norm, has_convolutions=bool(box_conv or (mask and mask_convs)))
        check_choice("box_regression", box_regression, BOX_REGRESSIONS)
        self.rpn_beta, self.rpn_focal, self.box_regression = rpn_beta, rpn_focal, box_regression
        self.anchors_per_image, self.rois_per_image = anchors_per_image, rois_per_image
        self.positive_fraction = positive_fraction
        self.box_weights, self.box_beta = tuple(box_weights), box_beta
        self.mask_targets = {
            "sampling_ratio": mask_target_samples,
            "aligned": roi_aligned,
            "binary": binary_mask_targets,
        }
        policy = {"dtype": self.dtype_policy}

        # Features
        self.backbone = self._build_backbone(
            backbone,
            norm=norm,
            stride_in_1x1=stride_in_1x1,
            frozen_stages=frozen_stages,
            base_channels=backbone_channels,
            epsilon=norm_epsilon,
            **policy,
        )
        self.normalize = NormalizeImages(self.backbone.image_mean, self.backbone.image_std)
        self.fpn = FPN(
            self.backbone.out_channels,
            channels=fpn_channels,
            min_level=fpn_min_level,
            norm=fpn_norm,
            name="fpn",
            **policy,
        )

        # Proposals
        strides = self.fpn.strides
        self.anchors = AnchorGenerator(
            anchor_sizes, anchor_ratios, strides, anchor_offset, rounded_anchors
        )
        self.rpn = RPNHead(
            fpn_channels,
            self.anchors.num_anchors,
            rpn_channels,
            rpn_convs,
            name="rpn",
            **policy,
        )
        self.training_proposals, self.proposals = (
            self._build_proposals(pre_nms_top_n, post_nms_top_n, rpn_nms_threshold)
            for pre_nms_top_n, post_nms_top_n in zip(
                check_pair("rpn_pre_nms_top_n", rpn_pre_nms_top_n),
                check_pair("rpn_post_nms_top_n", rpn_post_nms_top_n),
                strict=True,
            )
        )

        # Heads
        self.box_pooling = self._build_pooling(box_pool_size)
        self.box_head = BoxHead(
            fpn_channels,
            num_classes,
            box_pool_size,
            box_fc,
            class_agnostic_boxes,
            box_conv,
            head_norm,
            name="box_head",
            **policy,
        )
        self.detections = self._build_detections()
        if mask:
            self.mask_pooling = self._build_pooling(mask_pool_size)
            self.mask_head = MaskHead(
                fpn_channels,
                num_classes,
                mask_channels,
                mask_convs,
                class_agnostic_masks,
                head_norm,
                name="mask_head",
                **policy,
            )
        if keypoints:
            self.keypoint_pooling = self._build_pooling(keypoint_pool_size)
            self.keypoint_head = KeypointHead(
                fpn_channels,
                keypoints,
                keypoint_channels,
                keypoint_convs,
                name="keypoint_head",
                **policy,
            )
            self.keypoint_decoding = KeypointDecoding(keypoint_decoding)
        self.built = True

    def call(self, inputs, training: bool = False):
        images, image_sizes = split_input(inputs)
        pyramid = self.features(images, image_sizes, training)
        logits, deltas = self.rpn(pyramid)
        boxes, _, count = self.proposals(logits, deltas, self.anchors(pyramid), image_sizes)
        # Batch statistics of the heads are of the RoIs that are sampled for the losses, so
        # detections are never made with others.
        pooled = self.box_pooling(pyramid[:-1], boxes)
        class_logits, box_deltas = self.box_head(pooled, training=False)
        detections = self.detections(class_logits, box_deltas, boxes, count, image_sizes)
        return self._with_regions(detections, pyramid)

    def _with_regions(self, detections, pyramid):
        is_kept = (detections["classes"] >= 0)[..., None, None]
        if self.mask:
            pooled = self.mask_pooling(pyramid[:-1], detections["boxes"])
            logits = self.mask_head(pooled, training=False)
            logits = select_class(logits, detections["classes"])
            detections["masks"] = tf.where(is_kept, tf.sigmoid(logits), 0.0)
        if self.keypoints:
            pooled = self.keypoint_pooling(pyramid[:-1], detections["boxes"])
            keypoints = self.keypoint_decoding(self.keypoint_head(pooled), detections["boxes"])
            if self.keypoint_classes is not None:
                is_class = detections["classes"][..., None] == self.keypoint_classes  # [B, D, n]
                is_kept = tf.reduce_any(is_class, axis=-1)[..., None, None]
            detections["keypoints"] = tf.where(is_kept, keypoints, 0.0)
        return detections

    def features(self, images, image_sizes, training: bool = False) -> list[tf.Tensor]:
        """The pyramid P2..P6 of images in 0..255."""
        features = self.backbone(self.normalize(images, image_sizes), training=training)
        return self.fpn(features, training=training)

    def compute_losses(self, x, y, training: bool = True, step=0, samples=None):
        """Losses of one batch.

        Args:
            x: as in `call`.
            y: dict of `boxes [B, M, 4]`, `classes [B, M]`, `is_crowd [B, M]`, `image_id [B]` and,
                for masks, `masks`, `mask_shapes`, `mask_boxes` (see `mrcnn_tf.data.coco`), for
                joints `keypoints [B, M, K, 3]`: x, y in pixels and visibility, 0 where a joint is
                not annotated.
            training: as in Keras.
            step: the optimizer's iteration; together with the seed and the image ids it decides
                what is sampled.
            samples: dict of `losses.Samples` under `anchors` and `rois` and of the proposals
                `boxes [B, N, 4]` under `proposals` to use instead of the sampled ones; for
                comparisons with other implementations.

        Returns:
            dict of scalar float32 losses by the names of `loss_names`.

        Raises:
            ValueError: `y` lacks the joints of a model with joints, or has another number of them.
        """
        return mask_rcnn_losses(self, x, y, training, step, samples)

    def get_config(self):
        return {**super().get_config(), **self.arguments}
