# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From here into a container: everything is verified there before anything gets its name."""

from __future__ import annotations

import hashlib
import secrets as random_words
import threading
import time
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from functools import partial

from ..errors import PodwrightError
from .archive import pack
from .local import changed, digest_of
from .remote import BLOCK, persist
from .tree import DIRECTORY, FILE, ROOT, Plan

LARGE = 32 << 20  # from this size on a file is carried by itself, so that not all of it is carried again where a connection was lost
CONNECTIONS = 4  # parts that are on their way at once: one stream is unpacked by one processor at each of its stations
SMALLEST_PART, LARGEST_PART = 16 << 20, 64 << 20


class Upload:
    """Carries a Plan out that makes a path of a container like one of this machine.

    Args:
        local: a Local, or what reads like one.
        remote: a Remote.
        tree: the source, {path: Entry}.
        wish: a Wish.
        plan: a Plan.
        uses_tar: whether the image has tar and it may be used.
        console: a Console.

    Attributes:
        done: a Plan of what was carried out so far.
        digests: {path: sha256} of what was sent.
    """

    def __init__(self, local, remote, tree, wish, plan, uses_tar, console):
        self.done = Plan(unchanged=plan.unchanged)
        self.digests = {}
        self._local, self._remote, self._tree, self._wish, self._plan, self._console = local, remote, tree, wish, plan, console
        self._uses_tar = uses_tar and tree[ROOT].sort != FILE
        self._owner = f"{wish.owner or ''}{':' + wish.group if wish.group else ''}"
        self._total = sum(tree[path].size for path in plan.send)
        self._sent = {}  # by part
        self._counting = threading.Lock()
        self._is_over = False

    def run(self) -> None:
        """Copy. Raises: PodwrightError; what was put in place before that is whole."""
        plan, done, remote, tree = self._plan, self.done, self._remote, self._tree
        alone = [path for path in plan.send if not self._uses_tar or tree[path].size >= LARGE]
        together = [path for path in plan.send if path not in set(alone)]
        try:
            remote.each("rm -rf --", plan.obstacles)
            done.obstacles = plan.obstacles
            if self._uses_tar:
                self._send_together(sorted([*plan.directories, *together, *plan.links]))
            else:
                self._make(plan.directories, plan.links)
            done.directories, done.links = plan.directories, plan.links
            done.send += together
            for path in alone:
                self._send_alone(path)
                done.send.append(path)
        except BaseException:
            remote.clear(alone)
            raise
        self._set_attributes([*plan.attributes, *([] if self._uses_tar else [*plan.directories, *plan.links])])
        done.attributes = plan.attributes
        remote.each("rm -rf --", plan.delete)
        done.delete = plan.delete

    def _count(self, part, source):
        """The pieces of a part, with the progress shown as they are read."""
        with self._counting:
            self._sent[part] = 0
        for piece in source:
            if self._is_over:
                raise PodwrightError("Another part of the file could not be sent.", reason="CopyFailed")
            yield piece
            with self._counting:
                self._sent[part] += len(piece)
                self._console.progress(f"{sum(self._sent.values()) >> 20} of {self._total >> 20} MiB sent to {self._remote.container}")

    def _make(self, directories, links):
        if ROOT in directories:
            self._remote.make_root()
        self._remote.each("mkdir -p --", [path for path in directories if path != ROOT])
        self._remote.make_links({path: self._tree[path].target for path in links})

    def _set_attributes(self, paths):
        by_mode = {}
        for path in paths:
            mode = self._wish.mode_of(self._tree[path])
            if mode is not None:
                by_mode.setdefault(mode, []).append(path)
        if self._owner:
            self._remote.each(f"chown -h {self._owner} --", paths)
        for mode, group in by_mode.items():
            self._remote.each(f"chmod {mode:o} --", group)

    def _send_together(self, paths):
        """Everything small in one archive, unpacked and verified in a folder beside the place."""
        if not paths:
            return
        digests = {}

        def send():
            token = random_words.token_hex(4)
            digests.clear()
            source = partial(self._pack, paths, digests)
            return token, self._remote.unpack(token, source)

        token, arrived = persist(send)
        for path, digest in digests.items():
            if arrived.get(path) != digest:
                raise self._remote.arrived_changed(path)
        self.digests |= digests
        self._remote.place(token, self._owner)

    def _pack(self, paths, digests):
        return self._count(None, pack(self._local, self._tree, paths, self._attributes_in_archive, digests))

    def _attributes_in_archive(self, path):
        """(mode, mtime): an archive has both also where the source's do not matter."""
        entry = self._tree[path]
        mode = self._wish.mode_of(entry)
        if mode is None:
            mode = self._plan.modes.get(path, (0o777 if entry.sort == DIRECTORY else 0o666) & ~self._remote.umask)
        return mode, entry.mtime if self._wish.preserves else int(time.time())

    def _send_alone(self, path):
        """One file, a large one in parts."""
        entry = self._tree[path]
        attributes = self._wish.mode_of(entry), entry.mtime if self._wish.preserves else None, self._owner
        if entry.size >= LARGE:
            self._send_parts(path, entry, attributes)
            return
        self.digests[path] = digest = entry.digest or digest_of(self._local.pieces(path))
        source = partial(self._read, path, 0, entry.size)
        persist(lambda: self._remote.write(path, source, entry.size, digest, attributes, random_words.token_hex(4)))

    def _read(self, path, start, size):
        return self._count((path, start), self._local.pieces(path, start, size))

    def _send_parts(self, path, entry, attributes):
        """Parts of a file over several connections at once; the file gets its name where all of them have arrived as they were read."""
        token, parts = random_words.token_hex(4), divide(entry.size)

        def send(start, size):
            return persist(lambda: self._remote.write_part(path, partial(self._read, path, start, size), start, size, token))

        with ThreadPoolExecutor(CONNECTIONS) as pool:
            try:
                arriving = [pool.submit(send, *part) for part in parts]
                self.digests[path], digests = self._digest_parts(path, parts)
                for part in wait(arriving, return_when=FIRST_EXCEPTION).done:
                    part.result()  # raises what stopped it
                arrived = [part.result() for part in arriving]
            except BaseException:
                self._is_over = True
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        if arrived != digests or entry.digest not in (None, self.digests[path]):
            raise self._remote.arrived_changed(path)
        self._remote.name(path, entry.size, attributes, token)

    def _digest_parts(self, path, parts):
        """The sha256 of a file and those of its parts, from one reading of it."""
        whole, digests = hashlib.sha256(), []
        for start, size in parts:
            digest = hashlib.sha256()
            for piece in self._local.pieces(path, start, size):
                whole.update(piece)
                digest.update(piece)
            digests.append(digest.hexdigest())
        if any(self._local.pieces(path, start + size)):
            raise changed(self._local.place(path))
        return whole.hexdigest(), digests


def divide(size):
    """The (start, size) of the parts that a file of so many bytes is sent in."""
    length = min(max(-(-size // CONNECTIONS), SMALLEST_PART), LARGEST_PART)
    length = -(-length // BLOCK) * BLOCK
    starts = range(0, max(size - BLOCK, 1), length)
    return [(start, (size if start == starts[-1] else start + length) - start) for start in starts]
