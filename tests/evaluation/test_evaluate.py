import json

import numpy as np
import pytest
from PIL import Image

from mrcnn_tf.evaluation import evaluate
from tests.evaluation.fake_model import BrightRectangle, write_dataset


def test_a_model_that_finds_everything(tmp_path, capfd):
    files = write_dataset(tmp_path)
    figures = evaluate(BrightRectangle(), *files, batch_size=2)
    assert figures["images"] == 5
    assert figures["max_detections"] == 3
    # Edges come back from the resized image to within one of its pixels.
    for name in ("box_ap50", "mask_ap50", "box_ap75", "mask_ap75"):
        assert figures[name] == pytest.approx(1), name
    assert figures["box_ap"] > 0.7 and figures["mask_ap"] > 0.7
    streams = capfd.readouterr()
    assert streams.out == "" and "evaluating 5 images" in streams.err

    # Fitted into 20 x 20, an edge is exact to three pixels at best.
    coarser = evaluate(BrightRectangle(), *files, batch_size=3, size=20, progress=False)
    assert 0 < coarser["mask_ap"] < figures["mask_ap"] - 0.1
    assert capfd.readouterr().err == ""


def test_batches_do_not_change_the_figures(tmp_path):
    files = write_dataset(tmp_path)
    alone = evaluate(BrightRectangle(), *files, batch_size=1, progress=False)
    together = evaluate(BrightRectangle(), *files, batch_size=8, progress=False)
    assert alone == together


def test_nothing_found_and_boxes_only(tmp_path):
    files = write_dataset(tmp_path)
    model = BrightRectangle()
    model.finds.assign(0)
    figures = evaluate(model, *files, progress=False)
    assert figures["box_ap"] == figures["mask_ap"] == figures["mask_ap50"] == 0

    boxes_only = evaluate(BrightRectangle(mask=False), *files, progress=False)
    assert boxes_only["box_ap50"] == pytest.approx(1)
    assert not [name for name in boxes_only if name.startswith("mask")]
    files = write_dataset(tmp_path, segmentation=False)
    unsegmented = evaluate(BrightRectangle(), *files, progress=False)
    assert unsegmented == boxes_only


def test_max_detections_is_what_the_model_gives_at_most(tmp_path):
    files = write_dataset(tmp_path)
    model = BrightRectangle(max_detections=150)
    assert evaluate(model, *files, progress=False)["max_detections"] == 100
    wide = evaluate(model, *files, max_detections=150, progress=False)
    assert wide["max_detections"] == 150 and wide["box_ap50"] == pytest.approx(1)
    with pytest.raises(ValueError, match=r"MaskRCNN\(max_detections=150\).*at most 150"):
        evaluate(model, *files, max_detections=151, progress=False)
    with pytest.raises(ValueError, match="max_detections must be at least 1"):
        evaluate(model, *files, max_detections=0)
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        evaluate(model, *files, batch_size=0)


def test_classes_of_model_and_dataset(tmp_path, recwarn):
    files = write_dataset(tmp_path)
    untold = evaluate(BrightRectangle(category_ids=(1, 2)), *files, progress=False)
    assert untold["box_ap50"] == pytest.approx(1)
    swapped = evaluate(BrightRectangle(category_ids=(9, 4)), *files, progress=False)
    assert swapped["box_ap50"] == 0
    assert not [w for w in recwarn if "AP means nothing" in str(w.message)]
    with pytest.raises(ValueError, match="no class in common with .*val.json.* 5, 6,.* 4, 9"):
        evaluate(BrightRectangle(category_ids=(5, 6)), *files, progress=False)

    model = BrightRectangle()
    model.class_names = ["thing 4", "other thing"]
    with pytest.warns(UserWarning, match="category 9 is 'other thing' to the model and 'thing 9'"):
        evaluate(model, *files, progress=False)


def test_images_that_do_not_fit_their_annotations_are_named(tmp_path):
    files = write_dataset(tmp_path)
    Image.fromarray(np.zeros((20, 25, 3), np.uint8)).save(tmp_path / "3.png")
    with pytest.raises(ValueError, match=r"3.png \(id 103\) is 20 x 25 .* annotations say 64 x 64"):
        evaluate(BrightRectangle(), *files, progress=False)
    content = json.loads(files[1].read_text())
    content["images"][3]["file_name"] = "gone.png"
    files[1].write_text(json.dumps(content))
    with pytest.raises(FileNotFoundError, match="gone.png"):
        evaluate(BrightRectangle(), *files, progress=False)


def test_joints(tmp_path):
    files = write_dataset(tmp_path, keypoints=True)
    model = BrightRectangle(keypoints=2)
    figures = evaluate(model, *files, keypoint_sigmas=[0.2, 0.2], progress=False)
    for name in ("box_ap50", "mask_ap50", "keypoint_ap50", "keypoint_ar50"):
        assert figures[name] == pytest.approx(1), name
    assert 0.7 < figures["keypoint_ap"] <= 1 and "keypoint_ar_1" not in figures
    # Joints that are a pixel off, at most, are good for wide sigmas alone.
    strict = evaluate(model, *files, keypoint_sigmas=[0.002, 0.002], progress=False)
    assert strict["keypoint_ap"] < figures["keypoint_ap"] - 0.3
    model.finds.assign(0)
    figures = evaluate(model, *files, keypoint_sigmas=[0.2, 0.2], progress=False)
    assert figures["keypoint_ap"] == figures["keypoint_ap50"] == 0

    for other in (BrightRectangle(), BrightRectangle(keypoints=2)):
        annotated = write_dataset(tmp_path, keypoints=not other.keypoints)
        figures = evaluate(other, *annotated, progress=False)
        assert not [name for name in figures if name.startswith("keypoint")]


def test_joints_that_cannot_be_measured(tmp_path):
    files = write_dataset(tmp_path, keypoints=True)
    with pytest.raises(ValueError, match="needs keypoint_sigmas, 2 numbers.*is that of COCO's 17"):
        evaluate(BrightRectangle(keypoints=2), *files)
    with pytest.raises(ValueError, match="needs keypoint_sigmas, 2 numbers.*; got 3"):
        evaluate(BrightRectangle(keypoints=2), *files, keypoint_sigmas=[0.1] * 3)
    with pytest.raises(ValueError, match=r"the model has 17 joints, .*val.json has 2"):
        evaluate(BrightRectangle(keypoints=17), *files)


def test_joints_from_a_second_file(tmp_path):
    _, annotations = write_dataset(tmp_path, keypoints=True)
    joints = annotations.rename(tmp_path / "joints.json")
    files = write_dataset(tmp_path)
    options = {"keypoint_annotations": joints, "keypoint_sigmas": [0.2, 0.2], "progress": False}
    figures = evaluate(BrightRectangle(keypoints=2), *files, **options)
    assert figures["mask_ap50"] == figures["keypoint_ap50"] == pytest.approx(1)
