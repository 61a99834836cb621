import functools
import hashlib

import keras
import pytest

from mrcnn_tf.weights import PublishedFile, published_file

CONTENT = b"weights"
HASH = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A file that can be downloaded into a cache of its own."""
    (tmp_path / "cache").mkdir()
    in_folder = functools.partial(keras.utils.get_file, cache_dir=str(tmp_path / "cache"))
    monkeypatch.setattr(keras.utils, "get_file", in_folder)
    path = tmp_path / f"model-{HASH[:8]}.pth"
    path.write_bytes(CONTENT)
    return path


def test_a_file_is_downloaded_once_and_checked(source, tmp_path):
    file = PublishedFile(source.as_uri(), "sha256", HASH[:8])
    cached = tmp_path / "cache" / "mrcnn_tf" / source.name
    assert published_file(file) == str(cached) and cached.read_bytes() == CONTENT
    source.unlink()
    assert published_file(file) == str(cached)
    digest = hashlib.md5(CONTENT).hexdigest()
    assert published_file(PublishedFile(source.as_uri(), "md5", digest[:6])) == str(cached)

    cached.write_bytes(CONTENT[:3])
    with pytest.raises(ValueError) as error:
        published_file(file)
    for part in (cached, hashlib.sha256(CONTENT[:3]).hexdigest(), HASH[:8], "delete it and load"):
        assert str(part) in str(error.value)


def test_without_network_the_error_tells_the_address_and_what_to_do(source, tmp_path):
    source.unlink()
    file = PublishedFile(source.as_uri(), "sha256", HASH[:8])
    with pytest.raises(OSError, match=f"{file.url} could not be downloaded .*and take it along"):
        published_file(file, remedy="take it along")
    assert not list((tmp_path / "cache").rglob("*.pth"))


def test_a_copy_is_taken_instead(source, tmp_path):
    file = PublishedFile("https://nowhere.invalid/model.pth", "sha256", HASH[:8])
    assert published_file(file, source) == str(source)
    with pytest.raises(FileNotFoundError, match=rf"no file .*absent.pth: download {file.url}"):
        published_file(file, tmp_path / "absent.pth")
    source.write_bytes(b"other")
    with pytest.raises(ValueError, match=f"{source} is not the published model.pth.*{HASH[:8]}"):
        published_file(file, source)
    assert not list((tmp_path / "cache").iterdir())
