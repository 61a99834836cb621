"""Published files of weights: downloaded once, and checked by their hash."""

import hashlib
import os
import typing

import keras


class PublishedFile(typing.NamedTuple):
    """A file of weights that somebody offers on the web.

    Attributes:
        url: its address.
        algorithm: of its hash, by `hashlib`'s name.
        digest: first hexadecimal digits of the hash, which publishers put into the file's name.
    """

    url: str
    algorithm: str
    digest: str


def published_file(
    file: PublishedFile, local: str | os.PathLike | None = None, remedy: str = "give its path"
) -> str:
    """The path of a published file, out of Keras's cache, into which it is downloaded once.

    The cache is `~/.keras/mrcnn_tf`, or `mrcnn_tf` in `$KERAS_HOME`. A file that was put there by
    hand is taken as well.

    Args:
        file: where it is and what its hash is.
        local: a copy of it to take instead.
        remedy: what one does with a file that was downloaded elsewhere, for the error.

    Raises:
        FileNotFoundError: there is no file `local`.
        OSError: the download failed.
        ValueError: the file is not the published one.

    Example:

    >>> url = "https://download.pytorch.org/models/resnet18-f37072fd.pth"
    >>> path = published_file(PublishedFile(url, "sha256", "f37072fd"))
    """
    name = os.path.basename(file.url)
    if local is not None:
        path, cure = os.fspath(local), f"download {file.url} again, or give no file"
        if not os.path.isfile(path):
            raise FileNotFoundError(f"there is no file {path}: download {file.url}, or give none")
    else:
        path, cure = _downloaded(file.url, name, remedy), "delete it and load again"
    found = _hash(path, file.algorithm)
    if not found.startswith(file.digest):
        raise ValueError(
            f"{path} is not the published {name}, or not all of it: its {file.algorithm} hash is "
            f"{found}, and the published one starts with {file.digest}; {cure}"
        )
    return path


def _downloaded(url: str, name: str, remedy: str) -> str:
    try:
        return keras.utils.get_file(name, url, cache_subdir="mrcnn_tf")
    except Exception as error:
        raise OSError(
            f"{url} could not be downloaded ({error}); download it elsewhere and {remedy}"
        ) from error


def _hash(path: str, algorithm: str) -> str:
    # MD5 tells files apart here and keeps nothing secret.
    state = hashlib.new(algorithm, usedforsecurity=False)
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            state.update(block)
    return state.hexdigest()
