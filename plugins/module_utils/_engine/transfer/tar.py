# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The members of tar archives, read without trusting who sends them: ustar, pax and GNU long names, with headers of a limited size.

`tarfile` reads headers of any size into memory, and sparse files, which no archive that is requested here contains.
"""

from __future__ import annotations

import os
import re
import tarfile
from collections.abc import Callable, Iterator
from typing import NamedTuple

from ..text import parse_integer

MAX_HEADER = 1 << 17  # bytes of a long name or a pax header
MAX_SIZE = (1 << 63) - 1  # bytes of a file
REGULAR, HARD_LINK, SYMBOLIC_LINK = (b"0", b"\0", b"7"), b"1", b"2"
_LONG_NAME, _LONG_TARGET, _PAX, _GLOBAL = b"L", b"K", (b"x", b"X"), b"g"
_PAX_LENGTH = re.compile(rb"(\d{1,6}) ")


class InvalidArchive(Exception):
    """An archive that cannot be read; the message says why."""


class Member(NamedTuple):
    """A member of an archive.

    Attributes:
        type: the type flag of its header.
        target: what a link refers to.
    """

    path: bytes
    type: bytes
    size: int
    target: bytes

    def __str__(self) -> str:
        kind = "a hard link" if self.type == HARD_LINK else "a link" if self.type == SYMBOLIC_LINK else f"type {self.type!r}"
        return f"{os.fsdecode(self.path)!r} ({f'{self.size} bytes' if self.type in REGULAR else kind})"


def read_members(read: Callable[[int], bytes]) -> Iterator[Member]:
    """The members of archives that follow each other. The content of each regular file must be read before the next member.

    Args:
        read: called for so many bytes; returns fewer only at the end.

    Raises: InvalidArchive.
    """
    special: dict[bytes, bytes] = {}  # what headers say about the member that follows them
    while block := read(tarfile.BLOCKSIZE):
        if not block.strip(b"\0"):
            continue
        try:
            info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError as error:
            raise InvalidArchive(str(error)) from error
        if info.size < 0:
            raise InvalidArchive("a size is negative")
        if info.type in (_LONG_NAME, _LONG_TARGET, _GLOBAL, *_PAX):
            content = _read_header(read, info.size)
            if info.type in _PAX:
                special |= _read_pax(content)
            elif info.type != _GLOBAL:
                special[b"path" if info.type == _LONG_NAME else b"linkpath"] = content.partition(b"\0")[0]
            continue
        member = _member(info, special)
        special = {}
        yield member
        if member.type in REGULAR:
            read(-member.size % tarfile.BLOCKSIZE)


def _member(info: tarfile.TarInfo, special: dict[bytes, bytes]) -> Member:
    size: int | None = info.size
    if b"size" in special:
        size = parse_integer(special[b"size"].decode("ascii", "replace"), MAX_SIZE)
    if size is None or any(name.startswith(b"GNU.sparse") for name in special):
        raise InvalidArchive("a file is sparse or has an invalid size")
    path, target = special.get(b"path", os.fsencode(info.name)), special.get(b"linkpath", os.fsencode(info.linkname))
    return Member(path.removeprefix(b"./"), info.type, size, target.removeprefix(b"./"))


def _read_header(read: Callable[[int], bytes], size: int) -> bytes:
    if size > MAX_HEADER:
        raise InvalidArchive(f"a header has {size} bytes")
    padded = size + -size % tarfile.BLOCKSIZE
    content = read(padded)
    if len(content) < padded:
        raise InvalidArchive("a header is incomplete")
    return content[:size]


def _read_pax(content: bytes) -> dict[bytes, bytes]:
    """The records of a pax header: `LENGTH NAME=VALUE` and a line feed, each of LENGTH bytes."""
    records: dict[bytes, bytes] = {}
    start = 0
    while start < len(content):
        length = _PAX_LENGTH.match(content, start)
        stop = start + int(length[1]) if length else 0
        if length is None or not length.end() < stop <= len(content) or content[stop - 1 : stop] != b"\n":
            raise InvalidArchive("a pax header is invalid")
        name, _separator, value = content[length.end() : stop - 1].partition(b"=")
        records[name] = value
        start = stop
    return records
