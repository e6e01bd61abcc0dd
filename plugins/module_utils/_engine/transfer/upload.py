# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The copy to a container: content is verified there before it becomes visible."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from secrets import token_hex
from typing import TYPE_CHECKING

from ..errors import PodwrightError
from ..threads import call_in_threads
from .archive import pack
from .local import digest_of, source_changed
from .plan import LARGE, CopyOptions, Plan, split_attributes
from .runner import Attributes, ScriptFailed, retry_on_connection_loss
from .scripts import BLOCK
from .tree import DIRECTORY, FILE, ROOT, Entry, Tree

if TYPE_CHECKING:
    from ..console import Console
    from .local import Source
    from .remote import ContainerTree

CONNECTIONS = 4  # parts that are sent at once: at each hop, one stream is processed by one CPU
SMALLEST_PART, LARGEST_PART = 16 << 20, 64 << 20  # bytes
WRITABLE = 0o700  # permission bits by which the owner of a directory can change what it contains


class Upload:
    """Executes the plan of a copy to a container.

    Args:
        tree: the source.
        uses_tar: whether small files are sent as an archive.

    Attributes:
        done: the changes that were made so far.
        digests: the sha256 of what was sent, by path.
    """

    def __init__(self, local: Source, remote: ContainerTree, tree: Tree, options: CopyOptions, plan: Plan, uses_tar: bool, console: Console) -> None:
        self.done = Plan(unchanged=plan.unchanged)
        self.digests: dict[bytes, str] = {}
        self._local, self._remote, self._tree, self._options, self._plan, self._console = local, remote, tree, options, plan, console
        self._uses_tar = uses_tar and tree[ROOT].type != FILE
        self._owner = f"{options.owner or ''}{':' + options.group if options.group else ''}"
        self._total = sum(tree[path].size for path in plan.files)
        self._sent: dict[tuple[bytes, int], int] = {}  # bytes, by path and start
        self._counting = threading.Lock()
        self._run = token_hex(4)

    def run(self) -> None:
        """Copy. Raises: PodwrightError; the files in `done` are complete."""
        plan, done, remote, tree = self._plan, self.done, self._remote, self._tree
        separate = [path for path in plan.files if not self._uses_tar or tree[path].size >= LARGE]
        archived = [path for path in plan.files if self._uses_tar and tree[path].size < LARGE]
        early, late = split_attributes(plan.attributes, tree, self._options)
        try:
            with self._batch():
                self._set_attributes(early)
                done.attributes = early
                self._delete(plan.obstacles, done.obstacles)
            if self._uses_tar:
                self._send_archive(sorted([*plan.directories, *archived, *plan.links]))
            else:
                self._create(plan.directories, plan.links)
            done.directories, done.links = plan.directories, plan.links
            done.files += archived
            for path in separate:
                self._send_file(path)
                done.files.append(path)
        except BaseException:
            remote.clean_up(separate, self._run)
            raise
        with self._batch():
            self._delete(plan.delete, done.delete)
            self._set_attributes([*filter(self._lacks_mode, plan.directories), *([] if self._uses_tar else plan.links), *late])
        done.attributes = plan.attributes

    def _new_token(self) -> str:
        """The suffix of the temporary names of one attempt."""
        return self._run + token_hex(2)

    @contextmanager
    def _batch(self) -> Iterator[None]:
        """Changes of several entries, of which some may be made if one fails."""
        try:
            yield
        except PodwrightError:
            self.done.is_uncertain = True
            raise

    def _delete(self, paths: list[bytes], done: list[bytes]) -> None:
        try:
            self._remote.delete(paths)
        except ScriptFailed:
            done += self._remote.missing(paths)
            raise
        done += paths

    def _lacks_mode(self, path: bytes) -> bool:
        """Whether a new directory has another mode than in the source until all it contains is written."""
        mode = self._options.mode_of(self._tree[path])
        return not self._uses_tar or (mode is not None and mode != (0o777 & ~self._remote.umask if path == ROOT else mode | WRITABLE))

    def _create(self, directories: list[bytes], links: list[bytes]) -> None:
        with self._batch():
            if ROOT in directories:
                self._remote.create_root()
            self._remote.create_directories([path for path in directories if path != ROOT])
            self._remote.create_links({path: self._tree[path].target for path in links})

    def _set_attributes(self, paths: list[bytes]) -> None:
        """Set modes and owners, of what a directory contains before its own."""
        by_mode: dict[str, list[bytes]] = {}
        closed: list[tuple[bytes, str]] = []  # directories whose owner could not set the mode of what they contain
        for path in sorted(paths, reverse=True):
            mode = self._options.mode_of(self._tree[path])
            if mode is not None and self._tree[path].type == DIRECTORY and not mode & 0o100:
                closed.append((path, permissions(mode)))
            elif mode is not None:
                by_mode.setdefault(permissions(mode) if self._tree[path].type == DIRECTORY else f"{mode:o}", []).append(path)
        if self._owner:
            self._remote.set_owner(paths, self._owner)
        for text, group in by_mode.items():
            self._remote.set_mode(group, text)
        for path, text in closed:
            self._remote.set_mode([path], text)

    def _report(self, key: tuple[bytes, int], pieces: Iterable[bytes]) -> Iterator[bytes]:
        """The pieces; progress is reported as they are read."""
        with self._counting:
            self._sent[key] = 0
        for piece in pieces:
            yield piece
            with self._counting:
                self._sent[key] += len(piece)
                if self._total >> 20:
                    self._console.progress(f"{sum(self._sent.values()) >> 20} of {self._total >> 20} MiB sent to {self._remote.container}")

    # -- one archive ----------------------------------------------------------------------------------------

    def _send_archive(self, paths: list[bytes]) -> None:
        """Send entries as an archive, which is unpacked in a staging directory and verified there."""
        if not paths:
            return
        digests: dict[bytes, str] = {}

        def send() -> tuple[str, dict[bytes, str]]:
            token = self._new_token()
            digests.clear()
            return token, self._remote.unpack(token, partial(self._pack, paths, digests), paths)

        token, arrived = retry_on_connection_loss(send)
        for path, digest in digests.items():
            if arrived.get(path) != digest:
                raise self._remote.content_changed(path)
        self.digests |= digests
        with self._batch():
            self._remote.install(token, self._owner)

    def _pack(self, paths: list[bytes], digests: dict[bytes, str]) -> Iterator[bytes]:
        return self._report((ROOT, -1), pack(self._local, self._tree, paths, self._archived_attributes, digests))

    def _archived_attributes(self, path: bytes) -> tuple[int, int]:
        """The mode and modification time for an archive, which must have both."""
        entry = self._tree[path]
        mode = self._options.mode_of(entry)
        if mode is None:
            mode = self._plan.modes.get(path, (0o777 if entry.type == DIRECTORY else 0o666) & ~self._remote.umask)
        if entry.type == DIRECTORY:
            mode |= WRITABLE  # or what it contains could not be written, and the directory not be moved
        return mode, entry.mtime if self._options.preserves else int(time.time())

    # -- separate files -------------------------------------------------------------------------------------

    def _send_file(self, path: bytes) -> None:
        """Send a file, in parts if it is large."""
        entry = self._tree[path]
        attributes = Attributes(self._options.mode_of(entry), entry.mtime if self._options.preserves else None, self._owner)
        if entry.size >= LARGE:
            self._send_parts(path, entry, attributes)
            return
        self.digests[path] = digest = entry.digest or digest_of(self._local.pieces(path))
        source = partial(self._read, path, 0, entry.size)
        retry_on_connection_loss(lambda: self._remote.write(path, source, entry.size, digest, attributes, self._new_token()))

    def _read(self, path: bytes, start: int, size: int) -> Iterator[bytes]:
        return self._report((path, start), self._local.pieces(path, start, size))

    def _send_parts(self, path: bytes, entry: Entry, attributes: Attributes) -> None:
        """Send parts of a file over several connections at once, and finish it if all of them arrive as they were read."""
        token, parts, remote = self._new_token(), divide(entry.size), self._remote.branch()
        digests: list[str] = []

        def digest() -> str:
            self.digests[path], digests[:] = self._digest_parts(path, parts)
            return ""

        def send(start: int, size: int) -> str:
            return retry_on_connection_loss(lambda: remote.write_part(path, partial(self._read, path, start, size), start, size, token))

        retry_on_connection_loss(lambda: self._remote.create(path, token))
        calls: list[Callable[[], str]] = [digest, *(partial(send, *part) for part in parts)]
        _none, *arrived = call_in_threads(lambda call: call(), calls, CONNECTIONS + 1, remote.cancel)
        if arrived != digests or entry.digest not in (None, self.digests[path]):
            raise self._remote.content_changed(path, is_in_place=None)
        self._remote.finish(path, entry.size, attributes, token)

    def _digest_parts(self, path: bytes, parts: list[tuple[int, int]]) -> tuple[str, list[str]]:
        """The sha256 of a file and of each of its parts, of which the file is read once."""
        whole, digests = hashlib.sha256(), []
        for start, size in parts:
            digest = hashlib.sha256()
            for piece in self._local.pieces(path, start, size):
                whole.update(piece)
                digest.update(piece)
            digests.append(digest.hexdigest())
        if any(self._local.pieces(path, start + size)):
            raise source_changed(self._local.full_path(path))
        return whole.hexdigest(), digests


def permissions(mode: int) -> str:
    """A mode as for chmod(1) that sets the permission bits and keeps the setuid, setgid and sticky bits."""
    return ",".join(["a-rwx", *(f"{who}+{bit}" for at, who in ((6, "u"), (3, "g"), (0, "o")) for bit, value in zip("rwx", (4, 2, 1)) if mode >> at & value)])


def divide(size: int) -> list[tuple[int, int]]:
    """The start and size of each part in which a file of so many bytes is sent."""
    length = min(max(-(-size // CONNECTIONS), SMALLEST_PART), LARGEST_PART)
    length = -(-length // BLOCK) * BLOCK
    starts = range(0, max(size - BLOCK, 1), length)
    return [(start, (size if start == starts[-1] else start + length) - start) for start in starts]
