# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is below a path on either end, and what makes one end like the other. Pure functions; names are bytes."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass, field, replace

FILE, DIRECTORY, LINK = "file", "folder", "link"
ROOT = b""
MOST_LINKS = 40  # that Linux follows on the way of one path (path_resolution(7))


@dataclass(frozen=True)
class Entry:
    """One file, folder or symbolic link.

    Attributes:
        sort: FILE, FOLDER or LINK.
        size: bytes of a file.
        mode: permission bits.
        mtime: seconds since the epoch.
        target: where a link points to, bytes.
        owners, groups: its owner and group as number and name, each as text; empty where they do not matter.
        digest: sha256 in hexadecimal, where it was computed.
    """

    sort: str
    size: int = 0
    mode: int = 0o644
    mtime: int = 0
    target: bytes = b""
    owners: frozenset = frozenset()
    groups: frozenset = frozenset()
    digest: str | None = None


@dataclass(frozen=True)
class CopyOptions:
    """How the copy should be; the names are those of pod_copy.

    Attributes:
        preserves: whether modes and times are those of the source.
        mode: permission bits of every file, or None.
        owner, group: text, or None to leave them.
        deletes: whether what the source does not have goes.
        by_content: whether files of the same size are compared by digest, else by time.
    """

    preserves: bool = True
    mode: int | None = None
    owner: str | None = None
    group: str | None = None
    deletes: bool = False
    by_content: bool = True

    def mode_of(self, entry):
        """The mode a copy of the entry should have, or None where that does not matter."""
        if entry.sort == LINK:
            return None
        if entry.sort == FILE and self.mode is not None:
            return self.mode
        return entry.mode if self.preserves else None


@dataclass
class Plan:
    """What there is to do; lists of paths relative to the root, parents before children.

    Attributes:
        send: files whose content is copied.
        folders, links: what is made.
        attributes: what keeps its content and gets another mode or owner.
        obstacles: what is of another sort at the target and must go first.
        delete: what the source does not have.
        modes: {path: the mode that a file has which gets another content}.
        unchanged: how many files stay as they are.
    """

    send: list = field(default_factory=list)
    directories: list = field(default_factory=list)
    links: list = field(default_factory=list)
    attributes: list = field(default_factory=list)
    obstacles: list = field(default_factory=list)
    delete: list = field(default_factory=list)
    modes: dict = field(default_factory=dict)
    unchanged: int = 0

    @property
    def is_change(self):
        """Whether there is anything to do."""
        return bool(self.send or self.directories or self.links or self.attributes or self.obstacles or self.delete)

    def lines(self):
        """What would be done, a line each, for a person."""
        words = (
            ("replace", self.obstacles),
            ("copy", self.send),
            ("make folder", self.directories),
            ("make link", self.links),
            ("set attributes of", self.attributes),
            ("delete", self.delete),
        )
        return [f"{verb} {show(path) or '.'}" for verb, paths in words for path in paths]


def show(path):
    """A path as text, also where it is no UTF-8."""
    return path.decode("utf-8", "backslashreplace")


def duplicates(source, target):
    """The paths of files that only their digests can tell apart."""
    return [
        path
        for path, entry in source.items()
        if entry.sort == FILE and entry.size and path in target and target[path].sort == FILE and target[path].size == entry.size
    ]


def compare(source, target, wish, kept=()):
    """What makes the target like the source.

    Args:
        source, target: {path: Entry}; files that `twins` names have their digests where they are compared by content.
        wish: a Wish.
        kept: paths at the target that are in neither and stay, with the folders they are in.

    Returns: a Plan.
    """
    plan = Plan()
    for path in sorted(source):
        entry, there = source[path], target.get(path)
        if there is not None and there.sort != entry.sort:
            plan.obstacles.append(path)
            there = None
        if there is None or not _is_same_content(entry, there, wish):
            {FILE: plan.send, DIRECTORY: plan.directories, LINK: plan.links}[entry.sort].append(path)
            if there is not None and entry.sort == FILE:
                plan.modes[path] = there.mode
        elif _differs_in_attributes(entry, there, wish):
            plan.attributes.append(path)
        elif entry.sort == FILE:
            plan.unchanged += 1
    if wish.deletes:
        stay = {*source, *directories_of(kept)}
        plan.delete = _topmost([path for path in sorted(target) if path not in stay], plan.obstacles)
    plan.obstacles = _topmost(plan.obstacles)
    return plan


def _is_same_content(entry, there, wish):
    if entry.sort == LINK:
        return entry.target == there.target
    if entry.sort == DIRECTORY:
        return True
    if entry.size != there.size:
        return False
    return entry.digest == there.digest if wish.by_content and entry.size else wish.by_content or entry.mtime == there.mtime


def _differs_in_attributes(entry, there, wish):
    mode = wish.mode_of(entry)
    return (
        (mode is not None and mode != there.mode)
        or (wish.owner is not None and wish.owner not in there.owners)
        or (wish.group is not None and wish.group not in there.groups)
    )


def directories_of(paths):
    """The folders that they are in, at every level."""
    return {directory for path in paths for directory in _above(path)}


def _topmost(paths, others=()):
    """Those of the paths that are below none of them, and below none of the others."""
    tops = {*paths, *others}
    return [path for path in paths if tops.isdisjoint(_above(path))]


def _above(path):
    parts = path.split(b"/")
    return [b"/".join(parts[:length]) for length in range(len(parts))] if path else []


def without_excluded(tree, patterns):
    """The tree without what a pattern matches and what is below that.

    Args:
        patterns: globs (text); one with a slash is for the path from the root, another for a name anywhere.
    """
    encoded = [pattern.strip("/").encode("utf-8", "surrogateescape") for pattern in patterns]

    def is_excluded(path):
        parts = path.split(b"/")
        for length in range(1, len(parts) + 1):
            for pattern in encoded:
                subject = b"/".join(parts[:length]) if b"/" in pattern else parts[length - 1]
                if fnmatch.fnmatchcase(subject, pattern):
                    return True
        return False

    return {path: entry for path, entry in tree.items() if path == ROOT or not is_excluded(path)} if encoded else tree


def with_digests(tree, digests):
    """The tree with the digests, {path: text}, in their entries."""
    return tree | {path: replace(tree[path], digest=digest) for path, digest in digests.items() if path in tree}


def check_tree(tree):
    """What is wrong with a tree that somebody else described, as text, or None: only what is below its root may be in it."""
    for path in tree:
        parts = path.split(b"/")
        if path != ROOT and (path.startswith(b"/") or any(part in (b"", b".", b"..") for part in parts) or b"\0" in path):
            return f"the name {show(path)!r} is not below the folder"
        for length in range(len(parts) if path != ROOT else 0):
            parent = tree.get(b"/".join(parts[:length]))
            if parent is None or parent.sort != DIRECTORY:
                return f"{show(path)!r} lies in what is no folder"
    return None


def leaves_tree(tree, path):
    """Whether the symbolic link at that path of a tree leads out of it, also by way of other links of the tree.

    A directory that the tree does not have is taken for one without links.
    """
    if not tree[path].target:
        return True
    at, waiting, links = [], path.split(b"/")[::-1], 0
    while waiting:
        part = waiting.pop()
        if part == b"..":
            if not at:
                return True
            at.pop()
        elif part not in (b"", b"."):
            at.append(part)
            entry = tree.get(b"/".join(at))
            if entry and entry.sort == LINK:
                links += 1
                if entry.target.startswith(b"/"):
                    return True
                if links > MOST_LINKS:
                    return False  # nobody can follow it
                at.pop()
                waiting += entry.target.split(b"/")[::-1]
    return False
