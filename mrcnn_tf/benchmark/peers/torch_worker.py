"""torchvision's side of every case. Run by the Python of the peers, by the path of this file."""

import os

import torch
import torchvision
from pycocotools import mask as mask_utils
from serve import serve
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection._utils import BoxCoder, Matcher
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.models.detection.roi_heads import paste_masks_in_image, project_masks_on_boxes
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead

import numpy as np  # isort: skip  after torch, whose OpenMP it then shares


def prepare(case, side, arrays):
    tensors = {name: torch.from_numpy(np.ascontiguousarray(a)) for name, a in arrays.items()}
    return CASES[case](tensors, side)


def roi_align(tensors, side):
    features, boxes = _channels_first(tensors["features0"]), [tensors["boxes"]]
    bins, scale = int(tensors["bins"]), 1 / float(tensors["strides"][0])

    def call():
        return torchvision.ops.roi_align(features, boxes, bins, scale, 2, aligned=True)

    return call, _pooled


def roi_align_grad(tensors, side):
    features = _channels_first(tensors["features0"]).requires_grad_()
    bins, scale = int(tensors["bins"]), 1 / float(tensors["strides"][0])
    with torch.enable_grad():
        pooled = torchvision.ops.roi_align(
            features, [tensors["boxes"]], bins, scale, 2, aligned=True
        )
    gradient = tensors["gradient"][0].permute(0, 3, 1, 2).contiguous()

    def call():
        return torch.autograd.grad(pooled, features, gradient, retain_graph=True)[0]

    return call, lambda grad: {"gradient0": grad.permute(0, 2, 3, 1).numpy()}


def roi_align_pyramid(tensors, side):
    names = [str(level) for level in range(len(tensors["strides"]))]
    maps = {name: _channels_first(tensors[f"features{name}"]) for name in names}
    boxes, sizes = [tensors["boxes"]], [tuple(tensors["image_size"].tolist())]
    pool = torchvision.ops.MultiScaleRoIAlign(names, int(tensors["bins"]), 2)
    return lambda: pool(maps, boxes, sizes), _pooled


def nms(tensors, side):
    boxes, scores = tensors["boxes"], tensors["scores"]
    threshold, most = float(tensors["iou_threshold"]), int(tensors["max_output"])
    return (
        lambda: torchvision.ops.nms(boxes, scores, threshold)[:most],
        lambda indices: {"indices": indices.numpy()},
    )


def batched_nms(tensors, side):
    count, num_classes = tensors["scores"].shape
    boxes, scores = tensors["boxes"].reshape(-1, 4), tensors["scores"].reshape(-1)
    classes = torch.arange(num_classes).repeat(count)
    lowest, most = float(tensors["score_threshold"]), int(tensors["max_output"])
    threshold = float(tensors["iou_threshold"])

    # As RoIHeads.postprocess_detections does it.
    def call():
        likely = torch.where(scores > lowest)[0]
        kept = torchvision.ops.batched_nms(
            boxes[likely], scores[likely], classes[likely], threshold
        )
        return likely[kept[:most]]

    def collect(indices):
        return {"boxes": torch.cat([boxes[indices], scores[indices, None]], dim=1).numpy()}

    return call, collect


def proposals(tensors, side):
    num_levels = sum(name.startswith("logits") for name in tensors)
    levels = range(num_levels)
    anchors = torch.cat([tensors[f"anchors{level}"] for level in levels])
    logits = torch.cat([tensors[f"logits{level}"] for level in levels])[None]
    deltas = torch.cat([tensors[f"deltas{level}"] for level in levels])
    counts = [len(tensors[f"anchors{level}"]) for level in levels]
    pre, post = (int(tensors[name]) for name in ("pre_nms_top_n", "post_nms_top_n"))
    network = RegionProposalNetwork(
        *(AnchorGenerator(), RPNHead(1, 1), 0.7, 0.3, 256, 0.5),
        pre_nms_top_n={"training": pre, "testing": pre},
        post_nms_top_n={"training": post, "testing": post},
        nms_thresh=float(tensors["nms_threshold"]),
    ).eval()
    sizes = [tuple(tensors["image_size"].tolist())]
    coder = BoxCoder((1.0, 1.0, 1.0, 1.0))

    def decode():
        return coder.decode(deltas, [anchors]).view(1, -1, 4)

    def decode_and_filter():
        return network.filter_proposals(decode(), logits, sizes, counts)[0][0]

    if side == "torchvision":
        return decode_and_filter, _boxes
    decoded = decode()
    return lambda: network.filter_proposals(decoded, logits, sizes, counts)[0][0], _boxes


def masks_to_rle(tensors, side):
    masks, boxes = tensors["masks"][:, None], tensors["boxes"]
    size = tuple(tensors["image_size"].tolist())

    # As torchvision's reference evaluation does it.
    def call():
        pasted = paste_masks_in_image(masks, boxes, size) > 0.5
        return [
            mask_utils.encode(np.array(mask[0, :, :, None], dtype=np.uint8, order="F"))[0]
            for mask in pasted.numpy()
        ]

    return call, lambda encoded: {"counts": np.array([mask["counts"] for mask in encoded])}


def match_boxes(tensors, side):
    anchors, boxes = tensors["anchors"], tensors["boxes"]
    matcher = Matcher(0.7, 0.3, allow_low_quality_matches=True)
    return (
        lambda: matcher(torchvision.ops.box_iou(boxes, anchors)),
        lambda matches: {"matches": matches.numpy()},
    )


def mask_targets(tensors, side):
    masks, rois, matches = (tensors[name] for name in ("whole_masks", "rois", "matches"))
    return (
        lambda: project_masks_on_boxes(masks, rois, matches, 28),
        lambda targets: {"targets": targets.numpy()},
    )


def mask_rcnn(tensors, backbone):
    """`maskrcnn_resnet50_fpn` with any ResNet; its parts before masks are pasted into the image."""
    torch.manual_seed(0)
    features = resnet_fpn_backbone(backbone_name=backbone, weights=None)
    most, num_classes = int(tensors["max_detections"]), 81
    # The image has its size already.
    options = {"box_detections_per_img": most, "_skip_resize": True}
    model = MaskRCNN(features, num_classes, **options).eval()
    # As `every_proposal_counts` of `tensorflow_models.py` does it.
    predictor = model.roi_heads.box_predictor
    for layer in (model.rpn.head.bbox_pred, predictor.bbox_pred, predictor.cls_score):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    predictor.cls_score.bias[1] = float(np.log(num_classes - 1))
    pictures = [image.permute(2, 0, 1).contiguous() / 255 for image in tensors["images"]]

    def call():
        images, _ = model.transform(pictures)
        pyramid = model.backbone(images.tensors)
        proposals, _ = model.rpn(images, pyramid)
        return model.roi_heads(pyramid, proposals, images.image_sizes)[0]

    return call, lambda found: {"num_detections": np.array([len(one["boxes"]) for one in found])}


def _channels_first(features):
    return features.permute(0, 3, 1, 2).contiguous()


def _pooled(pooled):
    return {"pooled": pooled.permute(0, 2, 3, 1).numpy()}


def _boxes(boxes):
    return {"boxes": boxes.numpy()}


CASES = {
    "roi_align_7": roi_align,
    "roi_align_14": roi_align,
    "roi_align_7_grad": roi_align_grad,
    "roi_align_14_grad": roi_align_grad,
    "roi_align_pyramid": roi_align_pyramid,
    "nms_12000": nms,
    "nms_top1000": nms,
    "batched_nms": batched_nms,
    "proposals": proposals,
    "masks_to_rle": masks_to_rle,
    "match_boxes": match_boxes,
    "mask_targets": mask_targets,
    "mask_rcnn": mask_rcnn,
}


if __name__ == "__main__":
    torch.set_num_threads(int(os.environ["MRCNN_TF_BENCHMARK_THREADS"]))
    torch.set_grad_enabled(False)
    serve(prepare)
