# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Local files: how they are written atomically, and their modes."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress

from .errors import PodwrightError, option_error
from .scratch import create_locked, delete_leftovers

_READ_SIZE = 1 << 18


class AtomicFile:
    """A file that is written to a temporary name beside its path and renamed by `finish`; a context manager that discards it otherwise.

    A symbolic link is followed, and stays.

    Args:
        creates_parents: whether `finish` creates missing parent directories, instead of failing at once.
        mode: the mode of the file; None for that of the file that it replaces, or by the umask.

    Raises: PodwrightError if the file cannot be written.
    """

    def __init__(self, path: str, creates_parents: bool = False, mode: int | None = None) -> None:
        self._path, self._mode = os.path.realpath(path), mode
        self._creates_parents = creates_parents
        self._digest = hashlib.sha256()
        if is_special(path):
            raise PodwrightError(f"Could not write {self._path}, which is not a regular file.", reason="WriteFailed", hint="Name another file.")
        directory = os.path.dirname(self._path)
        while creates_parents and not os.path.lexists(directory):
            directory = os.path.dirname(directory)
        delete_leftovers(os.fsencode(directory))
        try:
            descriptor, self._temporary = create_locked(os.fsencode(directory))
        except OSError as error:
            raise self._failure(error) from error
        # A file system may report a failed write only when a file is closed, which must not unlock it.
        self._lock = os.fdopen(descriptor, "wb", 0)
        self._sink = os.fdopen(os.dup(descriptor), "wb")

    def write(self, data: bytes) -> None:
        """Append data. Raises: PodwrightError."""
        self._digest.update(data)
        try:
            self._sink.write(data)
        except OSError as error:
            raise self._failure(error) from error

    def differs(self) -> bool:
        """Whether the data differs from the content of the file at the path, or there is none."""
        if not os.path.isfile(self._path):
            return True
        digest = hashlib.sha256()
        with open(self._path, "rb") as current:
            while data := current.read(_READ_SIZE):
                digest.update(data)
        return digest.digest() != self._digest.digest()

    def finish(self) -> None:
        """Rename the file to its path. Raises: PodwrightError."""
        try:
            self._sink.close()
            if self._creates_parents:
                os.makedirs(os.path.dirname(self._path), exist_ok=True)
            if self._mode is None:
                _keep_owner(self._temporary, os.fsencode(self._path))
            os.chmod(self._temporary, file_mode(self._path) if self._mode is None else self._mode)
            os.replace(self._temporary, self._path)
        except OSError as error:
            raise self._failure(error) from error

    def __enter__(self) -> AtomicFile:
        return self

    def __exit__(self, *_exception: object) -> None:
        with suppress(OSError):  # a failed write is reported already
            self._sink.close()
        if os.path.exists(self._temporary):
            os.unlink(self._temporary)
        self._lock.close()

    def _failure(self, error: OSError) -> PodwrightError:
        return PodwrightError(
            f"Could not write {self._path}: {error.strerror or error}.", reason="WriteFailed", hint="Check that its directory exists, and its permissions."
        )


def check_file(option: str, path: str) -> None:
    """Check that an option names a file that can be written. Raises: PodwrightError."""
    if not path or is_special(path) or not os.path.isdir(os.path.dirname(os.path.abspath(path))):
        raise option_error(option, f"must be a file in an existing directory, got {path}.")


def is_special(path: str) -> bool:
    """Whether a path is a directory, by its last character too, a device, a pipe or a socket: reading may wait forever, and a renamed file would replace it."""
    return path.endswith(os.sep) or (os.path.exists(path) and not os.path.isfile(path))


def _keep_owner(temporary: bytes, path: bytes) -> None:
    """Give a file the owner and the group of the one that it will replace, if there is one, as far as that is allowed; its mode must be set afterwards."""
    with suppress(OSError):
        status = os.stat(path)
        os.chown(temporary, status.st_uid, status.st_gid)


def file_mode(path: str) -> int:
    """The mode of an existing file, or the one that a new file would have by the umask. Raises: OSError."""
    if os.path.isfile(path):
        return stat.S_IMODE(os.stat(path).st_mode)
    # The umask is one for the whole process and can be read only by setting it, which would affect other threads.
    probe = os.path.join(os.path.dirname(os.path.abspath(os.fsencode(path))), b".podwright-mode-" + os.urandom(8).hex().encode())
    descriptor = os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    try:
        return stat.S_IMODE(os.fstat(descriptor).st_mode)
    finally:
        os.close(descriptor)
        os.unlink(probe)


def read_mode(option: str, mode: object) -> int | None:
    """Permission bits, or None. An octal number without quotes is an integer already; a string is octal. Raises: PodwrightError."""
    if mode is None or mode == "preserve":
        return None
    if isinstance(mode, int) and not isinstance(mode, bool) and 0 <= mode <= 0o777:
        return mode
    if isinstance(mode, str) and re.fullmatch(r"0?[0-7]{3}", mode):
        return int(mode, 8)
    raise option_error(option, f"must be a quoted octal number such as '0644', got '{mode}'.")


def read_pieces(option: str, path: str) -> Iterator[bytes]:
    """The content of the file that an option names. Raises: PodwrightError if it cannot be read."""
    try:
        with open(path, "rb") as file:
            while piece := file.read(_READ_SIZE):
                yield piece
    except OSError as error:
        raise PodwrightError(f"{option}: {path} cannot be read: {error.strerror}.", reason="ReadFailed", hint="Check its permissions.") from error


def searched_in(*paths: str) -> str:
    """Where relative paths were searched, as ` in /work`; an empty text if all are absolute."""
    return "" if all(map(os.path.isabs, paths)) else f" in {os.getcwd()}"


def missing_source_error(option: str, path: str, hint: str = "") -> PodwrightError:
    """The error for an option whose path does not exist on the host that runs the task."""
    place = searched_in(path)
    if place and not hint:
        hint = "A local task also searches the directory files of its role and of its playbook."
    return option_error(option, f"not found{place} on the host that runs this task: {path}.", hint)
