# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tar streams: made piece by piece, and read without trusting them."""

from __future__ import annotations

import hashlib
import os
import tarfile

from ..cluster.exec_stream import STDOUT, decode
from ..errors import PodwrightError
from .tree import DIRECTORY, FILE, show

_TYPES = {FILE: tarfile.REGTYPE, DIRECTORY: tarfile.DIRTYPE}
READ = 1 << 16


def pack(local, tree, paths, attributes, digests):
    """The bytes of a tar archive with entries of a tree; `digests` gets the sha256 of each file as it was sent, {path: text}.

    Args:
        attributes: called with a path for its (mode, mtime).

    Raises: PodwrightError where a file has another size than when it was listed.
    """
    for path in paths:
        entry = tree[path]
        yield _header(path, entry, *attributes(path))
        if entry.sort != FILE:
            continue
        digest = hashlib.sha256()
        for piece in local.pieces(path, 0, entry.size):
            digest.update(piece)
            yield piece
        digests[path] = digest.hexdigest()
        yield bytes(-entry.size % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _header(path, entry, mode, mtime):
    info = tarfile.TarInfo(os.fsdecode(b"./" + path if path else b"."))
    info.type = _TYPES.get(entry.sort, tarfile.SYMTYPE)
    info.size, info.mode, info.mtime = entry.size, mode, mtime
    if entry.target:
        info.linkname = os.fsdecode(entry.target)
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def unpack(process, expected, open_file):
    """Read the tar archives that a Process writes and keep only what was asked for.

    Args:
        process: a Process whose standard output is archives, one after the other.
        expected: {path: Entry} of the files asked for; whatever else comes is refused.
        open_file: from a path to a file object to write it to, closed here.

    Returns: {path: sha256} of what was written. Files that the archive has only as hard links to others are missing in it.
    Raises: PodwrightError where the container sends something else than asked for.
    """
    digests, linked = {}, set()
    reader = _Reader(process, sum(entry.size + 4 * READ for entry in expected.values()) + 4 * READ)
    try:
        with tarfile.open(fileobj=reader, mode="r|", ignore_zeros=True, encoding="utf-8", errors="surrogateescape") as archive:
            for member in archive:
                path = os.fsencode(member.name).removeprefix(b"./")
                entry = expected.get(path)
                if entry and member.islnk() and os.fsencode(member.linkname).removeprefix(b"./") in digests:
                    linked.add(path)
                    continue
                if entry is None or path in digests or not member.isreg() or member.size != entry.size:
                    raise _hostile(f"{member.name!r} ({_describe(member)})", entry)
                digests[path] = _write(archive.extractfile(member), open_file(path))
        reader.drain()
    except (tarfile.TarError, EOFError) as error:
        raise PodwrightError(f"The container sent no proper archive: {error}", reason="CopyFailed") from error
    missing = expected.keys() - digests.keys() - linked
    if process.rc or missing:
        said = decode(bytes(reader.errors)).strip()[:500] or f"exit code {process.rc}"
        some = ": " + ", ".join(sorted(map(show, missing))[:3]) if missing else ""
        raise PodwrightError(f"The container did not send all that was asked for{some} ({said}).", reason="CopyFailed", hint="Run it again.")
    return digests


def _write(source, sink):
    digest = hashlib.sha256()
    with sink:
        while piece := source.read(READ):
            digest.update(piece)
            sink.write(piece)
    return digest.hexdigest()


def _describe(member):
    return "a hard link" if member.islnk() else "a link" if member.issym() else "a device" if member.isdev() else f"{member.size} bytes"


def _hostile(what, entry):
    wanted = f"where a file of {entry.size} bytes was asked for" if entry else "which nobody asked for"
    return PodwrightError(
        f"The container sent {what}, {wanted}. It was not written.",
        reason="Hostile",
        hint="Either the file changed while it was read, or the tar in the image is not to be trusted.",
    )


class _Reader:
    """A Process's standard output as the file that tarfile reads, up to a number of bytes."""

    def __init__(self, process, limit):
        self._outputs = iter(process)
        self._left = limit
        self._buffer = bytearray()
        self.errors = bytearray()

    def read(self, size):
        """As many bytes, fewer only at the end."""
        while len(self._buffer) < size and self._fill():
            pass
        piece = bytes(self._buffer[:size])
        del self._buffer[:size]
        return piece

    def drain(self):
        """Read to the end of the process, whose exit code is known then."""
        while self._fill():
            self._buffer.clear()

    def _fill(self):
        for stream, data in self._outputs:
            if stream != STDOUT:
                self.errors = (self.errors + data)[-4096:]
                continue
            self._buffer += data
            self._left -= len(data)
            if self._left < 0:
                raise _hostile("an archive that goes on and on", None)
            return True
        return False
