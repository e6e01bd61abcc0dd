# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The changes that a copy requires: a pure comparison of two trees."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from .tree import DIRECTORY, FILE, LINK, ROOT, Entry, Tree, ancestors, show

LARGE = 32 << 20  # bytes from which a file is transferred separately, so that a connection loss does not repeat all of it


@dataclass(frozen=True)
class CopyOptions:
    """The options of a copy.

    Attributes:
        preserves: whether modes and modification times are copied.
        mode: permission bits of every file, or None.
        owner, group: names or IDs, or None to leave them unchanged.
        deletes: whether entries that the source does not contain are deleted.
        by_content: whether files of the same size are compared by digest instead of modification time.
    """

    preserves: bool = True
    mode: int | None = None
    owner: str | None = None
    group: str | None = None
    deletes: bool = False
    by_content: bool = True

    def mode_of(self, entry: Entry) -> int | None:
        """The desired mode of the copy of an entry, or None if any mode will do."""
        if entry.type == LINK:
            return None
        if entry.type == FILE and self.mode is not None:
            return self.mode
        return entry.mode if self.preserves else None


@dataclass
class Plan:
    """The changes of a copy: lists of paths, each directory before what it contains.

    Attributes:
        files: files whose content is copied.
        directories, links: what is created.
        attributes: entries of which only the mode or the owner changes.
        obstacles: entries of the target that have another type than in the source and are deleted first.
        delete: entries that the source does not contain.
        modes: the current mode of each existing file whose content changes, by path.
        unchanged: the number of files that do not change.
        is_uncertain: whether a step failed that may have changed some of its entries, which are not in the lists.
    """

    files: list[bytes] = field(default_factory=list)
    directories: list[bytes] = field(default_factory=list)
    links: list[bytes] = field(default_factory=list)
    attributes: list[bytes] = field(default_factory=list)
    obstacles: list[bytes] = field(default_factory=list)
    delete: list[bytes] = field(default_factory=list)
    modes: dict[bytes, int] = field(default_factory=dict)
    unchanged: int = 0
    is_uncertain: bool = False

    @property
    def is_change(self) -> bool:
        """Whether it changes anything."""
        return bool(self.files or self.directories or self.links or self.attributes or self.obstacles or self.delete or self.is_uncertain)

    def lines(self) -> list[str]:
        """Each change as a line of text."""
        changes = (
            ("replace", self.obstacles),
            ("copy", self.files),
            ("create directory", self.directories),
            ("create link", self.links),
            ("set attributes of", self.attributes),
            ("delete", self.delete),
        )
        return [f"{verb} {show(path) or '.'}" for verb, paths in changes for path in paths]


def split_attributes(paths: Iterable[bytes], source: Tree, options: CopyOptions) -> tuple[list[bytes], list[bytes]]:
    """The entries whose mode and owner change before anything is written in them, and after it: a directory may become writable or read-only."""
    early: list[bytes] = []
    late: list[bytes] = []
    for path in paths:
        is_early = source[path].type == DIRECTORY and (options.mode_of(source[path]) or 0) & 0o200
        (early if is_early else late).append(path)
    return early, late


def same_size_files(source: Tree, target: Tree) -> list[bytes]:
    """The paths of the files that have the same size in both trees, so that only a digest shows whether they differ.

    A single file counts even if its size is 0, with which files of /proc have content.
    """
    return [
        path
        for path, entry in source.items()
        if entry.type == FILE and (entry.size or path == ROOT) and path in target and target[path].type == FILE and target[path].size == entry.size
    ]


def compare(source: Tree, target: Tree, options: CopyOptions, kept: Iterable[bytes] = ()) -> Plan:
    """The changes after which the target equals the source. The attributes of a root directory that exists are kept: it is not part of the copy.

    Args:
        source, target: trees. If content is compared, `same_size_files` of both have digests.
        kept: paths at the target that neither tree lists; they and the directories that contain them are not deleted.
    """
    plan = Plan()
    for path in sorted(source):
        entry, current = source[path], target.get(path)
        if current is not None and current.type != entry.type:
            plan.obstacles.append(path)
            current = None
        if current is None or not _has_same_content(entry, current, options):
            {FILE: plan.files, DIRECTORY: plan.directories, LINK: plan.links}[entry.type].append(path)
            if current is not None and entry.type == FILE:
                plan.modes[path] = current.mode
        elif (path != ROOT or entry.type == FILE) and _differs_in_attributes(entry, current, options):
            plan.attributes.append(path)
        elif entry.type == FILE:
            plan.unchanged += 1
    if options.deletes:
        retained = {*source, *containing_directories(kept)}
        plan.delete = _topmost([path for path in sorted(target) if path not in retained], plan.obstacles)
    plan.obstacles = _topmost(plan.obstacles)
    return plan


def containing_directories(paths: Iterable[bytes]) -> set[bytes]:
    """The directories that contain the paths, at every level."""
    return {directory for path in paths for directory in ancestors(path)}


def _has_same_content(entry: Entry, current: Entry, options: CopyOptions) -> bool:
    if entry.type == LINK:
        return entry.target == current.target
    if entry.type == DIRECTORY:
        return True
    if entry.size != current.size:
        return False
    if options.by_content:
        return entry.digest == current.digest if entry.size else entry.digest in (None, current.digest)
    return entry.mtime == current.mtime


def _differs_in_attributes(entry: Entry, current: Entry, options: CopyOptions) -> bool:
    mode = options.mode_of(entry)
    return (
        (mode is not None and mode != current.mode)
        or (options.owner is not None and options.owner not in current.owners)
        or (options.group is not None and options.group not in current.groups)
    )


def _topmost(paths: list[bytes], others: Iterable[bytes] = ()) -> list[bytes]:
    """The paths that no directory among the paths and the others contains."""
    tops = {*paths, *others}
    return [path for path in paths if tops.isdisjoint(ancestors(path))]
