"""Writes tiny COCO folders for the tests."""

import itertools
import json
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

NATIVE = (40, 56)  # the size of the images of `random_folder`


def photo(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Random uint8 [height, width, 3]."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def blob(height: int, width: int, seed: int) -> np.ndarray:
    """One random object, bool [height, width], never empty, with holes and loose pixels."""
    rng = np.random.default_rng(seed)
    y1, x1 = rng.integers(0, height - 4), rng.integers(0, width - 4)
    y2, x2 = rng.integers(y1 + 3, height + 1), rng.integers(x1 + 3, width + 1)
    mask = np.zeros((height, width), bool)
    mask[y1:y2, x1:x2] = rng.random((y2 - y1, x2 - x1)) < 0.7
    mask[y1, x1] = True
    return mask


def compressed(mask: np.ndarray) -> dict:
    """COCO's compressed run lengths of a mask."""
    encoded = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": encoded["size"], "counts": encoded["counts"].decode()}


def uncompressed(mask: np.ndarray) -> dict:
    """COCO's uncompressed run lengths of a mask: column by column, zeros first."""
    runs = [(bool(v), len(list(run))) for v, run in itertools.groupby(mask.flatten(order="F"))]
    first = [0] if runs[0][0] else []
    return {"size": list(mask.shape), "counts": first + [length for _, length in runs]}


def box_of(mask: np.ndarray) -> list[float]:
    """COCO box [x, y, width, height] of a mask."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return [
        float(columns[0]),
        float(rows[0]),
        float(columns[-1] - columns[0] + 1),
        float(rows[-1] - rows[0] + 1),
    ]


def annotation(annotation_id: int, image: int, mask: np.ndarray, **changes) -> dict:
    """An annotation of category 3 from a mask; `changes` replace or add keys."""
    values = {
        "id": annotation_id,
        "image_id": image,
        "category_id": 3,
        "segmentation": compressed(mask),
        "bbox": box_of(mask),
        "area": float(mask.sum()),
        "iscrowd": 0,
    }
    return {**values, **changes}


class CocoFolder:
    """A COCO folder being put together: `images/` and `annotations/train.json`."""

    def __init__(self, root: Path):
        self.root = root
        self.images_folder = root / "images"
        self.annotation_file = root / "annotations" / "train.json"
        self.images_folder.mkdir(parents=True)
        self.annotation_file.parent.mkdir()
        self.images: list[dict] = []
        self.annotations: list[dict] = []
        self.categories = [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat"}]

    def add_image(self, image_id: int, pixels: np.ndarray, name: str | None = None) -> None:
        name = name or f"{image_id:04d}.png"
        Image.fromarray(pixels).save(self.images_folder / name)
        height, width = pixels.shape[:2]
        self.images.append({"id": image_id, "file_name": name, "height": height, "width": width})

    def add_object(self, image: int, mask: np.ndarray, **changes) -> None:
        self.annotations.append(annotation(len(self.annotations) + 1, image, mask, **changes))

    def write(self) -> tuple[str, str]:
        """Writes the annotations; returns (images folder, annotation file)."""
        content = {
            "images": self.images,
            "annotations": self.annotations,
            "categories": self.categories,
        }
        self.annotation_file.write_text(json.dumps(content))
        return str(self.images_folder), str(self.annotation_file)


def random_folder(
    root: Path, num_images: int = 6, objects: int = 4, height: int = 40, width: int = 56
) -> CocoFolder:
    """A folder of images with random objects; every second image is upright."""
    folder = CocoFolder(root)
    for i in range(num_images):
        shape = (height, width) if i % 2 == 0 else (width, height)
        folder.add_image(10 + i, photo(*shape, seed=i))
        for j in range(objects):
            folder.add_object(10 + i, blob(*shape, seed=100 * i + j), category_id=(3, 7)[j % 2])
    return folder


def rows(dataset):
    """Every image of a dataset as one dict of arrays, padding of the image removed."""
    for x, y in dataset:
        fields = {name: value.numpy() for name, value in {**x, **y}.items()}
        for i in range(len(fields["image_id"])):
            row = {name: value[i] for name, value in fields.items()}
            height, width = row["image_sizes"]
            row["padding"] = int(row["images"].sum()) - int(row["images"][:height, :width].sum())
            row["image"] = row["images"][:height, :width]
            yield row
