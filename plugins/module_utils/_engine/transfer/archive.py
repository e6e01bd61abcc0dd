# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tar archives as streams: written piece by piece, and read without trusting the container."""

from __future__ import annotations

import hashlib
import os
import re
import tarfile
from collections.abc import Callable, Iterator, Mapping
from typing import IO, TYPE_CHECKING

from ..cluster.exec_stream import STDOUT
from ..errors import PodwrightError
from ..text import decode
from .runner import permission_hint
from .tar import HARD_LINK, REGULAR, InvalidArchive, Member, read_members
from .tree import DIRECTORY, FILE, Entry, Tree, show

if TYPE_CHECKING:
    from ..cluster.exec import Process
    from .local import Source

_TYPES = {FILE: tarfile.REGTYPE, DIRECTORY: tarfile.DIRTYPE}
READ_SIZE = 1 << 16  # bytes
GROWTH = 64 << 20  # bytes by which files, such as logs, may grow while they are read
_KEPT_STDERR = 4096  # bytes
_CHANGED = re.compile(rb"file changed as we read it|File shrank by")  # GNU tar then exits with 1; each file is compared with that of the container


def pack(local: Source, tree: Tree, paths: list[bytes], attributes: Callable[[bytes], tuple[int, int]], digests: dict[bytes, str]) -> Iterator[bytes]:
    """The bytes of a tar archive of entries of a tree.

    Args:
        attributes: called with a path for the mode and the modification time of its entry.
        digests: gets the sha256 of each file as it was sent, by path.

    Raises: PodwrightError if a file has another size than its entry.
    """
    for path in paths:
        entry = tree[path]
        yield _header(path, entry, *attributes(path))
        if entry.type != FILE:
            continue
        digest = hashlib.sha256()
        for piece in local.pieces(path, 0, entry.size):
            digest.update(piece)
            yield piece
        digests[path] = digest.hexdigest()
        yield bytes(-entry.size % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _header(path: bytes, entry: Entry, mode: int, mtime: int) -> bytes:
    info = tarfile.TarInfo(os.fsdecode(b"./" + path if path else b"."))
    info.type = _TYPES.get(entry.type, tarfile.SYMTYPE)
    info.size, info.mode, info.mtime = entry.size, mode, mtime
    if entry.target:
        info.linkname = os.fsdecode(entry.target)
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def unpack(process: Process, expected: Mapping[bytes, Entry], open_file: Callable[[bytes], IO[bytes]]) -> dict[bytes, str]:
    """Read the tar archives that a process prints, one after the other, and write the expected files.

    Args:
        expected: the requested files, by path; anything else is refused.
        open_file: called with a path for the file to write, which is closed here.

    Returns: the sha256 of each file that was written, by path. Files that the archive contains only as hard links, or that have another size
        because they changed meanwhile, are missing.
    Raises: PodwrightError if the container sends something else than was requested.
    """
    digests: dict[bytes, str] = {}
    left_out: set[bytes] = set()
    reader = _Reader(process, sum(entry.size + 4 * READ_SIZE for entry in expected.values()) + GROWTH)
    try:
        for member in read_members(reader.read):
            path, entry = member.path, expected.get(member.path)
            if entry and member.type == HARD_LINK and member.target in digests:
                left_out.add(path)
                continue
            if entry is None or path in digests or path in left_out or member.type not in REGULAR:
                raise _unexpected(str(member), entry)
            if member.size != entry.size:  # such as a log that grows
                with open(os.devnull, "wb") as nowhere:
                    _write(reader, member, nowhere)
                left_out.add(path)
                continue
            digests[path] = _write(reader, member, open_file(path))
    except InvalidArchive as error:
        hint = "Check tar in the image, or set method to stream or helper."
        raise PodwrightError(f"The container sent an invalid tar archive: {error}", reason="CopyFailed", hint=hint) from error
    missing = expected.keys() - digests.keys() - left_out
    if missing or (process.rc and not _CHANGED.search(reader.stderr)):
        cause = decode(bytes(reader.stderr)).strip()[:500] or f"exit code {process.rc}"
        some = ": " + ", ".join(sorted(map(show, missing))[:3]) if missing else ""
        raise PodwrightError(
            f"The container did not send all requested files{some} ({cause}).", reason="CopyFailed", hint=permission_hint(cause) or "Run the task again."
        )
    return digests


def _write(source: _Reader, member: Member, sink: IO[bytes]) -> str:
    digest, left = hashlib.sha256(), member.size
    with sink:
        while left:
            piece = source.read(min(READ_SIZE, left))
            if not piece:
                raise InvalidArchive("a file is incomplete")
            digest.update(piece)
            sink.write(piece)
            left -= len(piece)
    return digest.hexdigest()


def _unexpected(what: str, entry: Entry | None = None) -> PodwrightError:
    requested = f"instead of a file of {entry.size} bytes" if entry else "which was not requested"
    return PodwrightError(
        f"The container sent {what}, {requested}. It was not written.",
        reason="Hostile",
        hint="Either the file changed while it was read, or the tar of the image cannot be trusted.",
    )


class _Reader:
    """Standard output of a process.

    Args:
        limit: the most bytes that the process may print.
    """

    def __init__(self, process: Process, limit: int) -> None:
        self._output = iter(process)
        self._left = limit
        self._buffer = bytearray()
        self.stderr = bytearray()

    def read(self, size: int) -> bytes:
        """So many bytes, fewer only at the end."""
        while len(self._buffer) < size and self._fill():
            pass
        piece = bytes(self._buffer[:size])
        del self._buffer[:size]
        return piece

    def _fill(self) -> bool:
        for stream, data in self._output:
            if stream != STDOUT:
                self.stderr = (self.stderr + data)[-_KEPT_STDERR:]
                continue
            self._buffer += data
            self._left -= len(data)
            if self._left < 0:
                raise _unexpected("more bytes than the requested files have")
            return True
        return False
