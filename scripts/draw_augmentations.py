"""Draws `docs/augmentation.jpg`: a generated scene as each setting of the augmentation changes it.

.venv/bin/python scripts/draw_augmentations.py [FILE]
"""

import sys
import tempfile
from pathlib import Path

from mrcnn_tf.data import CocoDataset, coco, find_split, shapes
from mrcnn_tf.visualize import contact_sheet, draw_batch

FILE = Path(__file__).parents[1] / "docs" / "augmentation.jpg"
SIZE, SCENE = 200, 5
SETTINGS = [
    {},
    {"flip": True, "vertical_flip": True, "transpose": True},
    {"crop": (0.5, 0.8)},
    {"scale_jitter": (0.4, 1.6), "pad_to": (SIZE, SIZE)},
    {"rotation": 20},
    {"translation": 0.25},
    {"brightness": 0.5, "contrast": 0.5},
    {"saturation": 0.9, "hue": 0.3},
    {"erasing": 1.0},
    {"copy_paste": 1.0},
    {"mosaic": 1.0},
    {"mosaic": 1.0, "copy_paste": 1.0, "rotation": 20, "hue": 0.1, "erasing": 1.0},
]


def main(path: Path) -> None:
    pictures, captions = [], []
    with tempfile.TemporaryDirectory() as folder:
        shapes.generate(folder, 16, image_size=320, max_objects=6, progress=False)
        dataset = CocoDataset(*find_split(folder, "train"))
        for settings in SETTINGS:
            batches = coco(dataset, size=SIZE, keypoints=True, max_objects=None, **settings)
            for x, y in batches.skip(SCENE).take(1):
                pictures += draw_batch(
                    x,
                    y,
                    skeleton=dataset.keypoint_skeleton,
                    keypoint_names=dataset.keypoint_names,
                    labels=False,
                )
            captions.append(", ".join(name for name in settings if name != "pad_to") or "no change")
    captions[1], captions[-1] = "flips, transpose", "several"
    contact_sheet(pictures, captions, columns=4).save(path, quality=80)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FILE)
