# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files that appear whole or not at all."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile

from .errors import PodwrightError


class AtomicFile:
    """A file that is written beside its place and renamed once it is complete. Use it as a context manager: leaving discards what was not finished.

    Args:
        path: text.
        makes_folders: whether the folders above it are made with it. Else its folder must be there.

    Raises: PodwrightError where it cannot be written.
    """

    def __init__(self, path, creates_parents=False):
        self._path = os.path.abspath(path)
        self._makes_folders = creates_parents
        self._digest = hashlib.sha256()
        directory = os.path.dirname(self._path)
        while creates_parents and not os.path.lexists(directory):
            directory = os.path.dirname(directory)
        try:
            descriptor, self._temporary = tempfile.mkstemp(prefix=".podwright-", dir=directory)
        except OSError as error:
            raise self._failure(error) from error
        self._sink = os.fdopen(descriptor, "wb")

    def write(self, data):
        """Add bytes."""
        self._digest.update(data)
        try:
            self._sink.write(data)
        except OSError as error:
            raise self._failure(error) from error

    def differs(self):
        """Whether what was written is not what is at its place."""
        if not os.path.isfile(self._path):
            return True
        digest = hashlib.sha256()
        with open(self._path, "rb") as there:
            while piece := there.read(1 << 18):
                digest.update(piece)
        return digest.digest() != self._digest.digest()

    def finish(self):
        """Rename it into its place."""
        try:
            self._sink.close()
            if self._makes_folders:
                os.makedirs(os.path.dirname(self._path), exist_ok=True)
            os.chmod(self._temporary, file_mode(self._path))
            os.replace(self._temporary, self._path)
        except OSError as error:
            raise self._failure(error) from error

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._sink.close()
        if os.path.exists(self._temporary):
            os.unlink(self._temporary)

    def _failure(self, error):
        return PodwrightError(
            f"{self._path} cannot be written: {error.strerror or error}.", reason="WriteFailed", hint="Check that its folder exists and its permissions."
        )


def file_mode(path):
    """The mode of a file that gets another content: the one that it has, or what the umask leaves of a new one's."""
    if os.path.isfile(path):
        return stat.S_IMODE(os.stat(path).st_mode)
    # The umask belongs to the whole process and can only be read by setting it, which other threads would notice.
    probe = os.path.join(os.path.dirname(os.path.abspath(os.fsencode(path))), b".podwright-" + os.urandom(8).hex().encode())
    descriptor = os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    try:
        return stat.S_IMODE(os.fstat(descriptor).st_mode)
    finally:
        os.close(descriptor)
        os.unlink(probe)
