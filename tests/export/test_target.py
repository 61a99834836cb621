import pytest

from mrcnn_tf.export.target import check_target, replacing


def listing(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_is_replaced_once_it_is_complete(tmp_path):
    target = tmp_path / "deep" / "model"
    with replacing(target, False, "model.json") as folder:
        folder.mkdir()
        (folder / "model.json").write_text("first")
    with (
        pytest.raises(RuntimeError),
        replacing(target, True, "model.json") as folder,
    ):
        folder.mkdir()
        raise RuntimeError
    assert (target / "model.json").read_text() == "first"
    with replacing(target, True, "model.json") as folder:
        folder.mkdir()
        (folder / "model.json").write_text("second")
    assert (target / "model.json").read_text() == "second"
    assert listing(target.parent) == ["model"]


def test_a_file_is_replaced_once_it_is_complete(tmp_path):
    target = tmp_path / "model.tflite"
    for text in ("first", "second"):
        with replacing(target, True) as file:
            file.write_text(text)
        assert target.read_text() == text
    with pytest.raises(ValueError), replacing(target, True) as file:
        raise ValueError
    assert target.read_text() == "second" and listing(tmp_path) == ["model.tflite"]


def test_what_is_not_replaced(tmp_path):
    check_target(tmp_path / "none", False, "model.json")
    (tmp_path / "photos").mkdir()
    check_target(tmp_path / "photos", False, "model.json")
    (tmp_path / "photos" / "photo.jpg").touch()
    with pytest.raises(FileExistsError, match="photos exists and holds no model.json"):
        check_target(tmp_path / "photos", True, "model.json")
    with pytest.raises(FileExistsError, match="photos is a folder: give the name of a file"):
        check_target(tmp_path / "photos", True)
    (tmp_path / "photos" / "model.json").touch()
    with pytest.raises(FileExistsError, match="photos already holds an export"):
        check_target(tmp_path / "photos", False, "model.json")
    with pytest.raises(FileExistsError, match="photo.jpg already holds an export"):
        check_target(tmp_path / "photos" / "photo.jpg", False)
    with pytest.raises(ValueError, match="gs://bucket/model is not a local path"):
        check_target("gs://bucket/model", True, "model.json")
