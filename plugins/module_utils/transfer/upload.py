# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From here into a container: everything is verified there before anything gets its name."""

from __future__ import annotations

import secrets as random_words
from functools import partial

from ..cluster.errors import PodwrightError
from .archive import pack
from .local import digest_of
from .tree import FILE, ROOT, show

LARGE = 32 << 20  # from this size on a file is sent by itself, so that it can go on where a connection was lost
ATTEMPTS = 6


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
    """

    def __init__(self, local, remote, tree, wish, plan, uses_tar, console):
        self._local, self._remote, self._tree, self._wish, self._plan, self._console = local, remote, tree, wish, plan, console
        self._uses_tar = uses_tar and tree[ROOT].sort != FILE
        self._owner = f"{wish.owner or ''}{':' + wish.group if wish.group else ''}"
        self._total = sum(tree[path].size for path in plan.send)
        self._sent = 0
        self._digests = {}

    def run(self):
        """Copy. Returns {path: sha256} of what was sent. Raises: PodwrightError; what was put in place before that is whole."""
        plan, remote, tree = self._plan, self._remote, self._tree
        alone = [path for path in plan.send if not self._uses_tar or tree[path].size >= LARGE]
        together = [path for path in plan.send if path not in set(alone)]
        try:
            remote.each("rm -rf --", plan.obstacles)
            if self._uses_tar:
                self._send_together(sorted([*plan.folders, *together, *plan.links]))
            else:
                self._make(plan.folders, plan.links)
            for path in alone:
                self._send_alone(path)
        except PodwrightError:
            remote.clear(alone)
            raise
        self._set_attributes([*plan.attributes, *([] if self._uses_tar else plan.folders)])
        remote.each("rm -rf --", plan.delete)
        return self._digests

    def _count(self, source):
        """The source, with the progress shown as it is read."""
        for piece in source:
            yield piece
            self._sent += len(piece)
            self._console.progress(f"{self._sent >> 20} of {self._total >> 20} MiB sent to {self._remote.container}")

    def _read(self, path, start):
        return self._count(self._local.pieces(path, start))

    def _make(self, folders, links):
        if ROOT in folders:
            self._remote.make_root()
        self._remote.each("mkdir -p --", [path for path in folders if path != ROOT])
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
        for attempt in range(ATTEMPTS):
            token, digests = random_words.token_hex(4), {}
            start = self._sent
            read = partial(self._pack, paths, digests)
            try:
                arrived = self._remote.unpack(token, read, self._wish.preserves or self._wish.mode is not None)
                break
            except PodwrightError as error:
                if error.reason != "ConnectionLost" or attempt == ATTEMPTS - 1:
                    raise
                self._sent = start
        for path, digest in digests.items():
            if arrived.get(path) != digest:
                raise PodwrightError(
                    f"{show(path)} arrived in {self._remote.container} with another digest than it was sent with. Nothing was put in place.",
                    reason="Changed",
                    hint="Run it again.",
                )
        self._digests |= digests
        self._remote.place(token, self._owner)

    def _pack(self, paths, digests):
        return self._count(pack(self._local, self._tree, paths, self._wish, digests))

    def _send_alone(self, path):
        """One file, which goes on from where a lost connection left it."""
        entry, local, remote = self._tree[path], self._local, self._remote
        self._digests[path] = digest = entry.digest or digest_of(local.pieces(path))
        mode, mtime = self._wish.mode_of(entry), entry.mtime if self._wish.preserves else None
        start, token = 0, random_words.token_hex(4)
        for attempt in range(ATTEMPTS):
            read = partial(self._read, path, start)
            try:
                remote.write(path, read, entry.size - start, digest, mode, mtime, self._owner, token, start)
                return
            except PodwrightError as error:
                if error.reason != "ConnectionLost" or attempt == ATTEMPTS - 1:
                    raise
                lost, token = token, random_words.token_hex(4)
                start = remote.keep(path, lost, token, lambda size: digest_of(_first(local.pieces(path), size)))
                self._sent = start


def _first(pieces, size):
    for piece in pieces:
        if size <= 0:
            return
        yield piece[:size]
        size -= len(piece)
