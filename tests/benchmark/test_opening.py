from mrcnn_tf.benchmark import opening
from mrcnn_tf.benchmark.coco_sized import write_coco_sized
from mrcnn_tf.data import CocoDataset
from mrcnn_tf.data.instance_masks import decode_crop


def test_a_generated_data_set_is_sound_and_as_dense_as_coco(tmp_path):
    images, annotations, joints = write_coco_sized(tmp_path, 100, 727, 10)
    dataset = CocoDataset(images, annotations, keypoint_annotations=joints)
    assert len(dataset) == 100 and dataset.object_counts().sum() == 727
    assert dataset.object_counts(crowds=False).sum() == 717
    assert not dataset.skipped and dataset.keypoint_classes == [0]
    found = dataset.annotations(dataset.image_ids[0])
    assert all(decode_crop(a["segmentation"], *dataset.size(a["image_id"])) for a in found)
    assert 450 < annotations.stat().st_size / 727 < 700  # COCO: 521 bytes an object
    assert write_coco_sized(tmp_path, 100, 727, 10)[0] == images


def test_steps_are_measured_in_processes_of_their_own(tmp_path, monkeypatch):
    files = write_coco_sized(tmp_path, 3, 20, 1)
    stored = files[1].parent / ".mrcnn_tf" / "instances_train.json.index"
    stored.parent.mkdir()
    stored.touch()
    step = "index of joints as well"
    monkeypatch.setattr(opening, "STEPS", {step: opening.STEPS[step]})
    (row,) = opening.measure_opening(*files)
    assert not stored.exists()
    assert row["step"] == step and row["seconds"] > 0.01 and row["peak_mib"] > 10
