# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A path on the host that runs this process as one side of a copy."""

from __future__ import annotations

import errno
import grp
import hashlib
import os
import pwd
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from ..console import Console
from ..errors import PodwrightError
from ..files import file_mode
from ..text import encode
from .plan import CopyOptions
from .tree import DIRECTORY, FILE, LINK, ROOT, SPECIAL, Entry, Tree, matcher, mounts_below, show

READ_SIZE = 1 << 18  # bytes
_NO_RENAME = (errno.EBUSY, errno.EXDEV, errno.EACCES, errno.EPERM, errno.EROFS)


class Source(Protocol):
    """What an upload reads."""

    def observe(self, console: Console) -> Tree:
        """The tree."""

    def check(self, paths: Iterable[bytes]) -> None:
        """Check that files can be read. Raises: PodwrightError."""

    def digests(self, paths: Iterable[bytes]) -> dict[bytes, str]:
        """The sha256 of each file, by path."""

    def full_path(self, path: bytes) -> bytes:
        """The path for a message."""

    def pieces(self, path: bytes, start: int = 0, size: int | None = None) -> Iterator[bytes]:
        """The content of a file from `start` on, all of it or `size` bytes. Raises: PodwrightError, also if there are fewer."""


class Text:
    """A text as a single file."""

    skipped: frozenset[bytes] = frozenset()
    mounts: frozenset[bytes] = frozenset()
    closed: Mapping[bytes, PodwrightError] = {}

    def __init__(self, text: str) -> None:
        self._content = encode(text)

    def observe(self, console: Console) -> Tree:
        """The tree: one file."""
        return {ROOT: Entry(FILE, len(self._content))}

    def check(self, paths: Iterable[bytes]) -> None:
        """A text can be read."""

    def digests(self, paths: Iterable[bytes]) -> dict[bytes, str]:
        """The sha256 of the text, by path."""
        return {path: digest_of([self._content]) for path in paths}

    def full_path(self, path: bytes) -> bytes:
        """The option that contains the text, for a message."""
        return b"content"

    def pieces(self, path: bytes, start: int = 0, size: int | None = None) -> Iterator[bytes]:
        """The text from `start` on, all of it or `size` bytes."""
        yield self._content[start : None if size is None else start + size]


class LocalTree:
    """A path and what it contains. Methods take paths relative to it.

    Args:
        follow: whether symbolic links below it are followed.
        exclude: the patterns of what is excluded; that is listed, but neither what it contains nor a link is followed.

    Attributes:
        skipped: the paths that `observe` found and left out of the tree.
        mounts: the mount points below it, known after `observe_target`.
        closed: the error of each directory that could not be listed, by path, known after `observe_target`.

    Raises: PodwrightError if something cannot be read; OSError if it cannot be written.
    """

    def __init__(self, path: str, follow: bool = False, exclude: Sequence[str] = ()) -> None:
        self.root = os.fsencode(path)
        self._follow = follow
        self._is_excluded = matcher(exclude)
        self.skipped: set[bytes] = set()
        self.mounts: frozenset[bytes] = frozenset()
        self.closed: dict[bytes, PodwrightError] = {}

    def full_path(self, path: bytes) -> bytes:
        """The path from the root directory or the working directory of the process."""
        return os.path.join(self.root, path) if path else self.root

    # -- reading --------------------------------------------------------------------------------------------

    def observe(self, console: Console) -> Tree:
        """The tree as a source. What cannot be copied is skipped with a warning: special files, and links that cannot be followed."""
        tree = self._observe(None, console)
        for error in self.closed.values():
            raise error
        for path in [path for path, entry in tree.items() if entry.type == SPECIAL and (path == ROOT or not self._is_excluded(path))]:
            if path == ROOT:
                raise PodwrightError(
                    f"Cannot copy {show(self.root)}, which is neither a file nor a directory.", reason="BadOption", hint="Name a file or a directory."
                )
            console.warn(f"{show(self.full_path(path))} is skipped: it is neither a file, a directory nor a symbolic link.")
            self.skipped.add(path)
            del tree[path]
        return tree

    def observe_target(self, depth: int | None = None) -> Tree:
        """The tree as a target, at most so many directories deep."""
        self.mounts = mounts_below(_mount_points(), os.path.realpath(self.root))
        return self._observe(depth, Console())

    def _observe(self, depth: int | None, console: Console) -> Tree:
        """The tree, at most so many directories deep. Without recursion, since directories can be nested deeper than Python calls functions."""
        tree: Tree = {}
        waiting: list[tuple[bytes, bytes, tuple[tuple[int, int], ...]]] = [(ROOT, os.path.realpath(self.root), ())]
        while waiting:
            path, full_path, above = waiting.pop()
            status = self._status(path, full_path, console)
            if status is None:
                continue
            identity = (status.st_dev, status.st_ino)
            if identity in above:
                self.skipped.add(path)
                console.warn(f"{show(full_path)} is skipped: it is a symbolic link to a directory that contains it.")
                continue
            tree[path] = entry = _entry(full_path, status)
            if entry.type != DIRECTORY or len(above) == depth or (path != ROOT and self._is_excluded(path)):
                continue
            try:
                names = sorted(os.listdir(full_path), reverse=True)  # the last one is the next
            except OSError as error:
                self._close(path, full_path, error)
                continue
            waiting += [(path + b"/" + name if path else name, os.path.join(full_path, name), (*above, identity)) for name in names]
        return tree

    def _status(self, path: bytes, full_path: bytes, console: Console) -> os.stat_result | None:
        """The status of what is at a path; None if nothing is, or a link cannot be followed, with a warning."""
        try:
            return os.stat(full_path) if path == ROOT or (self._follow and not self._is_excluded(path)) else os.lstat(full_path)
        except OSError as error:
            if error.errno == errno.EACCES and path != ROOT and not (self._follow and os.path.islink(full_path)):
                self._close(path.rpartition(b"/")[0], full_path, error)
                return None
            is_link = error.errno == errno.ENAMETOOLONG and os.path.islink(full_path)  # its target is too long
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP) and not is_link:
                raise _unreadable(full_path, error) from error
            if path != ROOT:
                self.skipped.add(path)
                console.warn(f"{show(full_path)} is skipped: it is a dangling symbolic link, or was deleted meanwhile.")
            return None

    def _close(self, directory: bytes, full_path: bytes, error: OSError) -> None:
        """Note a directory in which a path cannot be read. Raises: PodwrightError if it is the root, or the cause is not a permission."""
        problem = _unreadable(full_path, error)
        if directory == ROOT or error.errno != errno.EACCES:
            raise problem from error
        self.closed.setdefault(directory, problem)

    def pieces(self, path: bytes, start: int = 0, size: int | None = None) -> Iterator[bytes]:
        """The content of a file from `start` on, all of it or `size` bytes. Raises: PodwrightError, also if there are fewer."""
        left = size
        try:
            with open(self.full_path(path), "rb") as source:
                source.seek(start)
                while piece := source.read(READ_SIZE if left is None else min(READ_SIZE, left)):
                    yield piece
                    left = None if left is None else left - len(piece)
                has_reported_size = size is None or os.fstat(source.fileno()).st_size >= start + size
                if has_reported_size and (left or (size == 0 and source.read(1))):
                    raise size_mismatch(show(self.full_path(path)))
        except OSError as error:
            raise _unreadable(self.full_path(path), error) from error
        if left:
            raise source_changed(self.full_path(path))

    def check(self, paths: Iterable[bytes]) -> None:
        """Check that files can be read."""
        for full_path in map(self.full_path, paths):
            if not os.access(full_path, os.R_OK, effective_ids=True):
                raise _unreadable(full_path, OSError(errno.EACCES, os.strerror(errno.EACCES)))

    def digests(self, paths: Iterable[bytes]) -> dict[bytes, str]:
        """The sha256 of each file, by path."""
        return {path: digest_of(self.pieces(path)) for path in paths}

    # -- writing --------------------------------------------------------------------------------------------

    def delete(self, path: bytes) -> None:
        """Delete an entry with what it contains."""
        full_path = self.full_path(path)
        if os.path.isdir(full_path) and not os.path.islink(full_path):
            shutil.rmtree(full_path)
        elif os.path.lexists(full_path):
            os.unlink(full_path)

    def create_directory(self, path: bytes) -> None:
        """Create a directory, the root with its parents."""
        full_path = self.full_path(path)
        if path == ROOT:
            os.makedirs(full_path, exist_ok=True)
        elif not os.path.isdir(full_path):
            os.mkdir(full_path)

    def create_link(self, path: bytes, target: bytes) -> None:
        """Create a symbolic link or replace the one that exists."""
        full_path = self.full_path(path)
        if os.path.lexists(full_path):
            os.unlink(full_path)
        os.symlink(target, full_path)

    def set_attributes(self, path: bytes, entry: Entry, options: CopyOptions) -> None:
        """Set the mode and owner that the copy of an entry should have."""
        _set_attributes(self.full_path(path), entry, options)

    def finish(self, temporary: bytes, path: bytes, entry: Entry, options: CopyOptions) -> None:
        """Rename a complete and verified file into place, with its attributes.

        A mount point, and a file whose directory accepts no other, are written in place; the temporary file remains then.
        """
        target = self.full_path(path)
        if options.mode_of(entry) is None:
            os.chmod(temporary, file_mode(os.fsdecode(target)))
        _set_attributes(temporary, entry, options)
        if options.preserves:
            os.utime(temporary, (entry.mtime, entry.mtime))
        try:
            os.replace(temporary, target)
        except OSError as error:
            if error.errno not in _NO_RENAME or not os.path.isfile(target) or os.path.islink(target):
                raise
            shutil.copyfile(temporary, target)
            shutil.copystat(temporary, target)


def _set_attributes(full_path: bytes, entry: Entry, options: CopyOptions) -> None:
    if options.owner is not None or options.group is not None:
        try:
            os.chown(full_path, _id(pwd.getpwnam, options.owner), _id(grp.getgrnam, options.group), follow_symlinks=False)
        except (OSError, KeyError) as error:
            raise PodwrightError(
                f"Cannot change the owner of {show(full_path)} to {options.owner or ''}:{options.group or ''}: {error}",
                reason="OwnerFailed",
                hint="The user and the group must exist, and only root can change owners.",
            ) from error
    mode = options.mode_of(entry)
    if mode is not None:
        kept = os.stat(full_path).st_mode & 0o7000 if entry.type == DIRECTORY else 0
        os.chmod(full_path, mode | kept)


def _mount_points() -> list[bytes]:
    """The mount points of this process, as /proc/self/mountinfo names them; none on an operating system without it."""
    try:
        with open("/proc/self/mountinfo", "rb") as lines:
            return [line.split(b" ", 5)[4] for line in lines]
    except (OSError, IndexError):
        return []


def _id(look_up: Callable[[str], Any], name: str | None) -> int:
    """The ID of a user or group; -1 leaves it unchanged."""
    if name is None:
        return -1
    return int(name) if name.isdigit() else int(look_up(name)[2])


def _entry(full_path: bytes, status: os.stat_result) -> Entry:
    """What is at a path."""
    mode, mtime = stat.S_IMODE(status.st_mode) & 0o777, status.st_mtime_ns // 10**9
    owners, groups = _id_and_name(pwd.getpwuid, status.st_uid), _id_and_name(grp.getgrgid, status.st_gid)
    if stat.S_ISREG(status.st_mode):
        return Entry(FILE, status.st_size, mode, mtime, owners=owners, groups=groups)
    if stat.S_ISDIR(status.st_mode):
        return Entry(DIRECTORY, 0, mode, mtime, owners=owners, groups=groups)
    if stat.S_ISLNK(status.st_mode):
        return Entry(LINK, 0, mode, mtime, os.readlink(full_path), owners, groups)
    return Entry(SPECIAL, 0, mode, mtime, owners=owners, groups=groups)


def _id_and_name(look_up: Callable[[int], Any], number: int) -> frozenset[str]:
    try:
        return frozenset((str(number), look_up(number)[0]))
    except KeyError:
        return frozenset((str(number),))


def digest_of(pieces: Iterable[bytes]) -> str:
    """The sha256 of pieces of bytes, in hexadecimal."""
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def source_changed(full_path: bytes) -> PodwrightError:
    """The error if a file changes while it is copied."""
    return PodwrightError(f"{show(full_path)} changed while it was read. The target is unchanged.", reason="Changed", hint="Run the task again.")


def size_mismatch(file: str) -> PodwrightError:
    """The error for a file that has another size than it reports, so that nobody can say when it is complete."""
    message = f"Cannot copy {file}: its content does not have the size that it reports, as is usual in /proc and /sys. The target is unchanged."
    return PodwrightError(message, reason="NoSize", hint="Read it with a command instead, such as cat by pod_exec.")


def _unreadable(full_path: bytes, error: OSError) -> PodwrightError:
    return PodwrightError(f"Cannot read {show(full_path)}: {error.strerror}.", reason="ReadFailed", hint="Check that it exists and its permissions.")
