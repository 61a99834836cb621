"""Reading COCO's JSON files entry by entry, so that a large one is never in memory as a whole."""

from __future__ import annotations

import json
import os
import re
import typing
from collections.abc import Iterable, Iterator

LISTS = ("images", "annotations", "categories")

_BLOCK = 1 << 23  # bytes read at once
_SPACE = re.compile(r"[ \t\n\r]*")
_FOLLOWERS = frozenset(",:]} \t\n\r")


class Entry(typing.NamedTuple):
    """One entry of a list of `LISTS`, or the whole value of another key.

    Attributes:
        key: of the file's top level.
        value: what `json.loads` gives.
        offset: where the entry starts in the file, in bytes.
        length: its bytes.
    """

    key: str
    value: typing.Any
    offset: int
    length: int


def read_entries(file: typing.BinaryIO, path: str | os.PathLike) -> Iterator[Entry]:
    """Parses a COCO annotation file piece by piece.

    Args:
        file: its bytes, from the start.
        path: its name, for the messages.

    Yields:
        The entries of `images`, `annotations` and `categories`, each a dict, and the values of the
        file's other keys.

    Raises:
        ValueError: it is not JSON, lacks a list, or an entry of a list is no object.
    """
    scanner = _Scanner(file)
    try:
        found = yield from _entries(scanner, path)
        if scanner.peek():
            raise scanner.error("Extra data")
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"annotation file {path} is not valid JSON: {error}") from error
    for key in LISTS:
        if key not in found:
            raise ValueError(
                f"annotation file {path} is not in COCO format: it has no list `{key}`"
            )


def keypoint_category(categories: Iterable[dict]) -> dict:
    """The first category with joints.

    Raises:
        ValueError: no category has joints, or two have other ones.
    """
    found = [category for category in categories if category.get("keypoints")]
    if not found or any(c["keypoints"] != found[0]["keypoints"] for c in found):
        problem = "other joints than another" if found else "joints"
        raise ValueError(
            f"{'a' if found else 'no'} category has {problem}: joints need one list of names, "
            "`keypoints`, in every category that has any; choose categories with category_ids"
        )
    return found[0]


def _entries(scanner: _Scanner, path: str | os.PathLike):
    found: set[str] = set()
    if scanner.peek() != "{":
        scanner.value()
        return found
    for _ in scanner.members("{", "}"):
        if scanner.peek() != '"':
            raise scanner.error("Expecting property name enclosed in double quotes")
        key = scanner.value()[0]
        scanner.take(":")
        if key not in LISTS:
            yield Entry(key, *scanner.value())
        elif scanner.peek() != "[":
            scanner.value()
        elif key in found:
            raise ValueError(f"annotation file {path} has two lists `{key}`")
        else:
            found.add(key)
            for number in scanner.members("[", "]"):
                entry = Entry(key, *scanner.value())
                if not isinstance(entry.value, dict):
                    raise ValueError(
                        f"annotation file {path}: entry {number} of `{key}` must be an object, "
                        f"got {json.dumps(entry.value):.40}"
                    )
                yield entry
    return found


class _Scanner:
    """A position in JSON text, of which one block is held at a time.

    The text is decoded as Latin-1, in which a character is a byte: positions are those in the file.
    JSON's own characters are ASCII, so only the few values with others are to be decoded again.
    """

    def __init__(self, file: typing.BinaryIO):
        self._file = file
        self._text = ""
        self._offset = 0  # of the text in the file
        self._position = 0  # in the text
        self._decode = json.JSONDecoder().raw_decode

    def peek(self) -> str:
        """The next character that is no space, empty at the end of the file."""
        while True:
            self._position = _SPACE.match(self._text, self._position).end()
            if self._position < len(self._text):
                return self._text[self._position]
            if not self._read_on():
                return ""

    def take(self, expected: str) -> None:
        """Goes past a character that must come next."""
        if self.peek() != expected:
            raise self.error(f"Expecting '{expected}' delimiter")
        self._position += 1

    def members(self, opening: str, closing: str) -> Iterator[int]:
        """Goes through an array or object; the caller reads each member before the next."""
        self.take(opening)
        count = 0
        while count or self.peek() != closing:
            yield count
            count += 1
            if self.peek() == closing:
                break
            self.take(",")
        self.take(closing)

    def value(self) -> tuple[typing.Any, int, int]:
        """The value that comes next, where in the file it starts, and its length in bytes."""
        self.peek()
        while True:
            try:
                value, end = self._decode(self._text, self._position)
            except json.JSONDecodeError as error:
                ahead = error.pos - self._position
                if not self._read_on():
                    raise self.error(error.msg, ahead) from None
                continue
            # a number that the block ends in may go on in the next
            if self._text[end : end + 1] in _FOLLOWERS or not self._read_on():
                break
        start, self._position = self._position, end
        if not self._text.isascii() and not (piece := self._text[start:end]).isascii():
            value = json.loads(piece.encode("latin-1").decode("utf-8"))
        return value, self._offset + start, end - start

    def error(self, message: str, ahead: int = 0) -> json.JSONDecodeError:
        """An error so many characters ahead, with line and column as in the whole file."""
        self._file.seek(0)
        before = self._file.read(self._offset + self._position + ahead).decode("latin-1")
        return json.JSONDecodeError(message, before, len(before))

    def _read_on(self) -> bool:
        kept = self._text[self._position :]
        # as much again as is held, so that a long value is not tried for every block of it
        block = self._file.read(max(_BLOCK, len(kept)))
        if not block:
            return False
        self._text = kept + block.decode("latin-1")
        self._offset += self._position
        self._position = 0
        return True
