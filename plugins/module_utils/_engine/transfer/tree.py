# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The files, directories, symbolic links and special files below a path, as values. Paths are bytes, relative to the root, which is `ROOT` itself."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

FILE, DIRECTORY, LINK, SPECIAL = "file", "directory", "link", "special file"
ROOT = b""
MAX_STEPS = 1 << 13  # components of paths and of targets of links, far more than any path has that can be opened
_ESCAPED = re.compile(rb"\\([0-3][0-7]{2})")
MAX_LINKS = 40  # symbolic links that Linux follows to resolve one path (path_resolution(7))


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, directory or symbolic link, or SPECIAL: anything else, which is never copied.

    Attributes:
        type: FILE, DIRECTORY, LINK or SPECIAL.
        size: bytes of a file, else 0.
        mode: permission bits.
        mtime: modification time in seconds since the epoch.
        target: the target of a symbolic link.
        owners, groups: the owner and the group, each by ID and by name if it has one; empty if unknown.
        digest: the sha256 of a file in hexadecimal, or None if it was not computed.
    """

    type: str
    size: int = 0
    mode: int = 0o644
    mtime: int = 0
    target: bytes = b""
    owners: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    digest: str | None = None


Tree: TypeAlias = dict[bytes, Entry]
"""The entries below a root, by path; empty if the root does not exist."""


def show(path: bytes) -> str:
    """A path as text; bytes that are not UTF-8 are escaped."""
    return path.decode("utf-8", "backslashreplace")


def ancestors(path: bytes) -> list[bytes]:
    """The directories that contain a path, from the root down."""
    parts = path.split(b"/")
    return [b"/".join(parts[:length]) for length in range(len(parts))] if path else []


def hidden(path: bytes, suffix: str) -> bytes:
    """The prefix of hidden names beside a path, short enough for a token to follow (255 bytes)."""
    directory, _slash, name = path.rpartition(b"/")
    return directory + b"/." + name[:200] + suffix.encode()


def subtree(tree: Tree, path: bytes) -> Tree:
    """The entries at and below a path other than the root, relative to it."""
    return {name[len(path) + 1 :]: entry for name, entry in tree.items() if name == path or name.startswith(path + b"/")}


def with_digests(tree: Tree, digests: Mapping[bytes, str]) -> Tree:
    """The tree with these digests, by path, in its entries."""
    return tree | {path: replace(tree[path], digest=digest) for path, digest in digests.items()}


def mounts_below(points: Iterable[bytes], root: bytes) -> frozenset[bytes]:
    """The paths below a root at which something is mounted.

    Args:
        points: mount points as in /proc/PID/mountinfo, which escapes some bytes.
        root: the root without symbolic links, as the mount points are named.
    """
    prefix = root.rstrip(b"/") + b"/"
    unescaped = (_ESCAPED.sub(lambda match: bytes([int(match[1], 8)]), point) for point in points)
    return frozenset(point[len(prefix) :] for point in unescaped if point.startswith(prefix)) - {ROOT}


def matcher(patterns: Iterable[str]) -> Callable[[bytes], bool]:
    """A function that says whether a pattern matches a path itself, see `without_excluded`."""
    encoded = [pattern.strip("/").encode("utf-8", "surrogateescape") for pattern in patterns]

    def matches(path: bytes) -> bool:
        name = path.rpartition(b"/")[2]
        return any(fnmatch.fnmatchcase(path if b"/" in pattern else name, pattern) for pattern in encoded)

    return matches


def without_excluded(tree: Tree, patterns: Sequence[str], skipped: Collection[bytes] = ()) -> Tree:
    """The tree without the entries that a pattern matches, without those that are skipped, and without what they contain.

    Args:
        patterns: globs. One with a slash matches the path, one without a slash matches a name at any depth.
        skipped: paths.
    """
    if not patterns and not skipped:
        return tree
    matches = matcher(patterns)

    def is_excluded(path: bytes) -> bool:
        return any(top in skipped or matches(top) for top in [*ancestors(path)[1:], path])

    return {path: entry for path, entry in tree.items() if path == ROOT or not is_excluded(path)}


def check_tree(tree: Tree) -> str | None:
    """What is inconsistent in a tree from an untrusted source, or None: each entry must lie below the root, in a directory of the tree."""
    for path in tree:
        if path == ROOT:
            continue
        if b"\0" in path or not _is_relative(path.split(b"/")):
            return f"{show(path)!r} is not below the directory"
        parent = tree.get(path.rpartition(b"/")[0])  # whose own parent is checked, too
        if parent is None or parent.type != DIRECTORY:
            return f"{show(path)!r} is not in a directory"
    return None


def _is_relative(parts: Iterable[bytes]) -> bool:
    return not any(part in (b"", b".", b"..") for part in parts)


def leaves_tree(tree: Tree, path: bytes) -> bool:
    """Whether the symbolic link at a path resolves to something outside the tree, directly or through other links of the tree.

    A directory that the tree does not list is assumed to contain no links. A link that takes more than MAX_STEPS to resolve counts as one that leaves.
    """
    return resolve_link(tree, path) is None


def resolve_link(tree: Tree, path: bytes) -> bytes | None:
    """What the symbolic link at a path resolves to, as `leaves_tree` describes it: None if that is outside the tree; of links in a circle, one of them."""
    if not tree[path].target:
        return None
    resolved: list[bytes] = []  # the paths of the directories so far
    pending, links, steps = path.split(b"/")[::-1], 0, 0
    while pending:
        steps += 1
        if steps > MAX_STEPS:
            return None
        part = pending.pop()
        if part == b"..":
            if not resolved:
                return None
            resolved.pop()
        elif part not in (b"", b"."):
            resolved.append(resolved[-1] + b"/" + part if resolved else part)
            entry = tree.get(resolved[-1])
            if entry and entry.type == LINK:
                links += 1
                if entry.target.startswith(b"/"):
                    return None
                if links > MAX_LINKS:
                    return path  # the kernel refuses to resolve it
                resolved.pop()
                pending += entry.target.split(b"/")[::-1]
    return resolved[-1] if resolved else ROOT


def find_loop(tree: Tree, root: bytes) -> bytes | None:
    """The path of a symbolic link through which a directory contains itself, perhaps with others, or None.

    Args:
        root: the full path of the tree. Of links that leave the tree, only those to directories that contain it are found.
    """
    edges: dict[bytes, list[tuple[bytes, bytes]]] = {path: [] for path, entry in tree.items() if entry.type == DIRECTORY}
    for path, entry in tree.items():
        target = resolve_link(tree, path) if entry.type == LINK else path
        if target is None and _is_above(entry.target, path, root):
            return path
        if target in edges and path != ROOT:
            edges[path.rpartition(b"/")[0]].append((path, target))
    entered: dict[bytes, bytes] = {ROOT: ROOT}  # the directories down to the current one, and by which path each was entered
    pending, seen = [(ROOT, iter(edges.get(ROOT, ())))], {ROOT}
    while pending:
        directory, rest = pending[-1]
        path, target = next(rest, (ROOT, ROOT))
        if path == ROOT:
            pending.pop()
            del entered[directory]
        elif target in entered:
            used = list(entered.values())[list(entered).index(target) + 1 :]
            return next(path for path in [*used, path] if tree[path].type == LINK)
        elif target not in seen:
            seen.add(target)
            entered[target] = path
            pending.append((target, iter(edges[target])))
    return None


def _is_above(target: bytes, path: bytes, root: bytes) -> bool:
    """Whether the target of a link below a root is a directory that contains the root."""
    full_path = os.path.normpath(os.path.join(root, os.path.dirname(path), target))
    return full_path == b"/" or (root + b"/").startswith(full_path + b"/") or full_path.strip(b"./") == b""
