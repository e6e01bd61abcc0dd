# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Both sides of a copy, and how they differ."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..errors import PodwrightError
from .local import LocalTree
from .plan import Plan, same_size_files
from .tree import FILE, LINK, ROOT, SPECIAL, Entry, Tree, ancestors, leaves_tree, show, with_digests, without_excluded

if TYPE_CHECKING:
    from ..console import Console
    from .local import Text
    from .remote import ContainerTree

SHOWN_FILES, SHOWN_BYTES = 20, 1 << 16  # files whose texts a diff shows or that warnings name, and the largest size of a shown file


@dataclass(frozen=True)
class TreePair:
    """The trees on both sides of a copy.

    Attributes:
        is_upload: whether the copy goes to the container.
        local, remote: the sides.
        local_tree, remote_tree: what they contain.
        skipped: the paths that the source has and that are not copied.
    """

    is_upload: bool
    local: LocalTree | Text
    remote: ContainerTree
    local_tree: Tree
    remote_tree: Tree
    skipped: Collection[bytes] = ()

    @property
    def source(self) -> Tree:
        """The tree that is copied."""
        return self.local_tree if self.is_upload else self.remote_tree

    @property
    def target(self) -> Tree:
        """The tree that the copy changes."""
        return self.remote_tree if self.is_upload else self.local_tree

    def without_excluded(self, patterns: Sequence[str]) -> TreePair:
        """The pair without what the patterns match, see `tree.without_excluded`, and without what the target has in place of what the source skips."""
        local_tree, remote_tree = (without_excluded(tree, patterns, self.skipped) for tree in (self.local_tree, self.remote_tree))
        return replace(self, local_tree=local_tree, remote_tree=remote_tree)

    @property
    def mounts(self) -> Collection[bytes]:
        """The mount points below the root of the target."""
        return (self.remote if self.is_upload else self.local).mounts

    def without_mounts(self, console: Console) -> TreePair:
        """The pair without the mount points of the target that the source does not contain, with a warning of each: they and what is below them are kept."""
        kept = {path for path in self.mounts if path in self.target and path not in self.source}
        for path in sorted(kept):
            if kept.isdisjoint(ancestors(path)):
                console.warn(f"{show(path)} is kept: it is a mount point {f'in {self.remote.container}' if self.is_upload else 'of this host'}.")
        shown = without_excluded(self.target, (), kept)
        return replace(self, remote_tree=shown) if self.is_upload else replace(self, local_tree=shown)

    def check_listed(self, deletes: bool) -> None:
        """Check that what the copy may change could be listed in the target. Raises: PodwrightError."""
        for path, error in (self.remote if self.is_upload else self.local).closed.items():
            if path in self.target and (deletes or path in self.source):
                raise error

    def with_digests(self) -> TreePair:
        """The pair with the digests of the files that have the same size on both sides. Raises: PodwrightError if one cannot be read."""
        paths = same_size_files(self.local_tree, self.remote_tree)
        return replace(
            self,
            local_tree=with_digests(self.local_tree, self.local.digests(paths)),
            remote_tree=with_digests(self.remote_tree, self.remote.digests(paths)),
        )

    def diff(self, plan: Plan) -> list[dict[str, str]]:
        """Ansible's `diff` of a plan: the texts of files before and after, and the other changes as lines.

        Raises: PodwrightError if a file cannot be read.
        """
        entries = [self._file_diff(path) for path in plan.files[:SHOWN_FILES]]
        lines = [line for line in plan.lines() if not line.startswith("copy ")] + [f"copy {show(path)}" for path in plan.files[SHOWN_FILES:]]
        return entries + ([{"prepared": "\n".join(lines) + "\n"}] if lines else [])

    def _file_diff(self, path: bytes) -> dict[str, str]:
        name = show(self.remote.full_path(path) if self.is_upload else self.local.full_path(path))
        if max(tree[path].size for tree in (self.source, self.target) if path in tree) > SHOWN_BYTES:
            before, after = "", f"({self.source[path].size} bytes)\n"
        else:
            source, target = (self._read_local, self._read_remote) if self.is_upload else (self._read_remote, self._read_local)
            before, after = self._text_before(target, path), _text(source(path))
        return {"before_header": name, "after_header": name, "before": before, "after": after}

    def _text_before(self, read: Callable[[bytes], bytes], path: bytes) -> str:
        """The text of a file of the target, which a copy replaces also if it cannot be read."""
        try:
            return _text(read(path))
        except PodwrightError as error:
            if error.reason not in ("CopyFailed", "ReadFailed"):
                raise
            return f"({self.target[path].size} bytes, not readable)\n"

    def _read_local(self, path: bytes) -> bytes:
        entry = self.local_tree.get(path)
        return b"".join(self.local.pieces(path)) if entry and entry.type == FILE else b""

    def _read_remote(self, path: bytes) -> bytes:
        entry, content = self.remote_tree.get(path), bytearray()
        if entry and entry.type == FILE:
            self.remote.read(path, 0, entry.size, content.extend)
        return bytes(content)


def download_pair(remote: ContainerTree, remote_tree: Tree, local_path: str, console: Console) -> TreePair:
    """The pair of a copy from a container: a file is placed in a directory under its own name.

    Links that leave the tree or cannot be followed, and what is neither a file, a directory nor a symbolic link, are skipped with a warning.

    Raises: PodwrightError if the local path is a device, a FIFO or a socket, which the copy would replace.
    """
    shown = without_excluded(remote_tree, remote.exclude)
    dangling = without_excluded(dict.fromkeys(sorted(remote.skipped), Entry(LINK)), remote.exclude)
    special = [path for path, entry in shown.items() if entry.type == SPECIAL]
    skipped = [f"{show(path)} is skipped: it is neither a file, a directory nor a symbolic link in {remote.container}." for path in special]
    skipped += [f"{show(path)} is skipped: it is a dangling symbolic link in {remote.container}." for path in dangling]
    for path in special:
        del remote_tree[path]
    for path in [path for path, entry in shown.items() if entry.type == LINK and leaves_tree(remote_tree, path)]:
        skipped.append(f"{show(path)} is skipped: it links to {show(remote_tree[path].target)}, outside {remote.path}.")
        del remote_tree[path]
        special.append(path)
    for text in skipped[:SHOWN_FILES]:
        console.warn(text)
    if len(skipped) > SHOWN_FILES:
        console.warn(f"{len(skipped) - SHOWN_FILES} more entries of {remote.path} are skipped for the same reasons.")
    is_file = remote_tree[ROOT].type == FILE
    if is_file and (os.path.isdir(local_path) or local_path.endswith("/")):
        local_path = os.path.join(local_path, os.path.basename(remote.path.rstrip("/")))
    local = LocalTree(os.path.realpath(local_path) if is_file and os.path.isfile(local_path) else local_path, exclude=remote.exclude)
    parent = os.path.dirname(os.path.abspath(local_path))
    while not os.path.lexists(parent):
        parent = os.path.dirname(parent)
    if not os.path.isdir(parent):
        raise PodwrightError(f"Cannot copy to {local_path}: {parent} is not a directory.", reason="Obstacle", hint="Set another path.")
    if os.path.islink(local_path) and not os.path.exists(local_path) and not is_file:
        raise PodwrightError(f"Cannot copy to {local_path}, which is a dangling symbolic link.", reason="Obstacle", hint="Delete it first.")
    if os.path.exists(local_path) and not (os.path.isfile(local_path) or os.path.isdir(local_path)):
        raise PodwrightError(f"Cannot copy to {local_path}, which is neither a file nor a directory.", reason="Obstacle", hint="Set another path.")
    return TreePair(False, local, remote, local.observe_target(0 if is_file else None), remote_tree, {*special, *remote.skipped})


def _text(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return f"({len(content)} bytes, not UTF-8)\n"
