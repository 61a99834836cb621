"""torchvision's side of `mrcnn-tf benchmark pipeline`, run by the Python of the peers by its path.

What its reference training does to an image: annotations as boxes and masks, a flip, float
tensors, in worker processes; then resizing, normalisation and padding in the main one.
"""

import os

import torch
from pycocotools import mask as mask_utils
from serve import serve
from torchvision import tv_tensors
from torchvision.datasets import CocoDetection
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.transforms import v2

import numpy as np  # isort: skip  after torch, whose OpenMP it then shares

_MEAN, _STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


class Objects:
    """Makes of COCO's annotations the targets of torchvision's detectors, and flips both."""

    def __init__(self):
        self._transforms = v2.Compose(
            [v2.RandomHorizontalFlip(0.5), v2.PILToTensor(), v2.ToDtype(torch.float, scale=True)]
        )

    def __call__(self, image, annotations):
        width, height = image.size
        kept = [a for a in annotations if not a.get("iscrowd", 0)]
        boxes = torch.tensor([a["bbox"] for a in kept], dtype=torch.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        boxes[:, 0::2].clamp_(0, width)
        boxes[:, 1::2].clamp_(0, height)
        labels = torch.tensor([a["category_id"] for a in kept])
        masks = [_mask(a["segmentation"], height, width) for a in kept]
        masks = torch.stack(masks) if masks else torch.zeros((0, height, width), dtype=torch.uint8)
        inside = (boxes[:, 3] > boxes[:, 1]) & (boxes[:, 2] > boxes[:, 0])
        target = {
            "boxes": tv_tensors.BoundingBoxes(
                boxes[inside], format="XYXY", canvas_size=(height, width)
            ),
            "masks": tv_tensors.Mask(masks[inside]),
            "labels": labels[inside],
            "image_id": annotations[0]["image_id"],
        }
        return self._transforms(image, target)


def _mask(segmentation, height, width):
    if isinstance(segmentation, dict):
        if isinstance(segmentation["counts"], list):
            segmentation = mask_utils.frPyObjects(segmentation, height, width)
        return torch.as_tensor(mask_utils.decode(segmentation), dtype=torch.uint8)
    parts = mask_utils.decode(mask_utils.frPyObjects(segmentation, height, width))
    return torch.as_tensor(parts, dtype=torch.uint8).any(dim=2)


def prepare(case, side, arrays):
    images, annotations = arrays["paths"].tolist()
    short, long = arrays["size"].tolist()
    dataset = CocoDetection(images, annotations, transforms=Objects())
    dataset.ids = [
        i for i in dataset.ids if any(not a.get("iscrowd", 0) for a in dataset.coco.imgToAnns[i])
    ]
    loader = torch.utils.data.DataLoader(
        dataset,
        batch_size=int(arrays["batch_size"]),
        shuffle=True,
        num_workers=int(os.environ["MRCNN_TF_BENCHMARK_THREADS"]),
        collate_fn=_pairs,
        persistent_workers=True,
    )
    transform = GeneralizedRCNNTransform(short, long, _MEAN, _STD)

    def call():
        ids, objects = [], 0
        for images, targets in loader:
            _, targets = transform(images, targets)
            ids += [target["image_id"] for target in targets]
            objects += sum(len(target["masks"]) for target in targets)
        return ids, objects

    return call, lambda found: {"image_ids": np.sort(found[0]), "objects": np.array(found[1])}


def _pairs(batch):
    return tuple(zip(*batch, strict=True))


if __name__ == "__main__":
    torch.set_num_threads(int(os.environ["MRCNN_TF_BENCHMARK_THREADS"]))
    torch.set_grad_enabled(False)
    serve(prepare)
