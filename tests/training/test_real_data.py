"""Training on real photos; needs the folder that MRCNN_TF_DATA names."""

import keras
import numpy as np
import pytest

from mrcnn_tf import MaskRCNN
from mrcnn_tf.data import CocoDataset, coco, find_split

SMALL = {
    "image_size": 320,
    "fpn_channels": 64,
    "rois_per_image": 64,
    "box_fc": (256,),
    "mask_channels": 64,
    "mask_convs": 2,
}


@pytest.mark.slow
def test_losses_fall_on_coco_photos(data_folder):
    """50 steps on 128 photos of 71 classes, with crowds and with photos that show no object."""
    dataset = CocoDataset(*find_split(data_folder / "coco128", "instances_train2017"))
    objects = [dataset.annotations(image_id) for image_id in dataset.image_ids]
    assert sum(not rows for rows in objects) == 2
    assert any(row["iscrowd"] for rows in objects for row in rows)
    model = MaskRCNN.from_preset(
        "maskrcnn_efficientnet_lite0_fpn",
        num_classes=dataset.num_classes,
        class_names=dataset.class_names,
        category_ids=dataset.category_ids,
        **SMALL,
    )
    model.compile(optimizer=keras.optimizers.AdamW(5e-4, global_clipnorm=10.0))
    train = coco(dataset, batch_size=2, size=model.image_size, shuffle=True, flip=True, repeat=True)
    history = model.fit(train, steps_per_epoch=10, epochs=5, verbose=2).history
    for name in ("loss", *model.loss_names):
        assert np.isfinite(history[name]).all(), name
    # The box loss rises while the RPN learns to propose: more boxes become positive.
    for name in ("loss", "rpn_objectness_loss", "class_loss", "mask_loss"):
        assert history[name][-1] < history[name][0], name
