# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Temporary files beside the files that they become, which a later process deletes if theirs was killed.

A file `.podwright-ID` is locked (flock) as long as its process lives, so that a lock that is free means leftovers. It is either such a temporary file itself,
or the journal `.podwright-ID.lock` of those in and below its directory, `.podwright-ID-NUMBER`. On a file system without locks, nothing is deleted.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
from collections.abc import Iterator

PREFIX, JOURNAL = b".podwright-", b".lock"
_LOCKED = re.compile(rb"\.podwright-[0-9a-f]{16}(\.lock)?")
_MAX_BYTES = 1 << 26  # of a journal


def create_locked(directory: bytes, suffix: bytes = b"") -> tuple[int, bytes]:
    """Create a temporary file that is locked until its descriptor and all copies of it are closed.

    Returns: (its descriptor, its path). Raises: OSError.
    """
    while True:
        path = os.path.join(directory, PREFIX + os.urandom(8).hex().encode() + suffix)
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                return descriptor, path  # without locks nobody deletes it
        else:
            if _is_at(path, descriptor):
                return descriptor, path
        os.close(descriptor)  # another process took it for a leftover before it was locked


def _is_at(path: bytes, descriptor: int) -> bool:
    """Whether an open file has that path."""
    try:
        return os.path.samestat(os.lstat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def delete_leftovers(directory: bytes) -> None:
    """Delete what killed processes have left in a directory, and what their journals list below it; what cannot be deleted stays."""
    try:
        with os.scandir(directory) as entries:
            names = [entry.name for entry in entries if _LOCKED.fullmatch(entry.name) and entry.is_file(follow_symlinks=False)]
    except OSError:
        return
    for name in names:
        try:
            descriptor = os.open(os.path.join(directory, name), os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            continue
        try:
            _delete_unlocked(directory, name, descriptor)
        except OSError:
            continue  # it is in use
        finally:
            os.close(descriptor)


def _delete_unlocked(directory: bytes, name: bytes, descriptor: int) -> None:
    """Delete a file that has no lock, and what it lists. Raises: OSError if it has one."""
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    path = os.path.join(directory, name)
    if not _is_at(path, descriptor) or os.fstat(descriptor).st_uid != os.geteuid():
        return
    for leftover in _listed(directory, name, descriptor):
        if os.path.lexists(leftover):
            os.unlink(leftover)
    os.unlink(path)


def _listed(directory: bytes, name: bytes, descriptor: int) -> Iterator[bytes]:
    """The paths that a journal lists; nothing but temporary files of its process."""
    if not name.endswith(JOURNAL):
        return
    own = name.removesuffix(JOURNAL) + b"-"
    for entry in os.pread(descriptor, _MAX_BYTES, 0).split(b"\0"):
        parts = entry.split(b"/")
        if parts[-1].startswith(own) and ".." not in map(os.fsdecode, parts) and not entry.startswith(b"/"):
            yield os.path.join(directory, entry)


class Scratch:
    """Creates the temporary files of one copy in a directory and below it; a context manager that first deletes leftovers there.

    They are closed before they are renamed, since a copy can have more of them than a process may have descriptors: one journal is locked for all.
    """

    def __init__(self, directory: bytes) -> None:
        self._directory, self._count = directory, 0
        self._journal: tuple[int, bytes] | None = None
        self._name = PREFIX + os.urandom(8).hex().encode()

    def __enter__(self) -> Scratch:
        delete_leftovers(self._directory)
        return self

    def create(self, directory: bytes) -> tuple[int, bytes]:
        """Create a file in a directory. Returns: (its descriptor, its path). Raises: OSError."""
        if not self._count:
            self._begin()
        self._count += 1
        path = os.path.join(directory, b"%s-%d" % (self._name, self._count))
        if self._journal:
            os.write(self._journal[0], os.path.relpath(path, self._directory) + b"\0")
        return os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600), path

    def _begin(self) -> None:
        try:
            descriptor, path = create_locked(self._directory, JOURNAL)
        except OSError:
            return  # the directory accepts no files, but one below it may
        self._journal = descriptor, path
        self._name = os.path.basename(path).removesuffix(JOURNAL)

    def __exit__(self, *_exception: object) -> None:
        if self._journal:
            descriptor, path = self._journal
            if os.path.lexists(path):
                os.unlink(path)
            os.close(descriptor)
