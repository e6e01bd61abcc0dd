# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files that appear whole or not at all."""

from __future__ import annotations

import hashlib
import os
import tempfile

from .cluster.errors import PodwrightError


class WholeFile:
    """A file that is written beside its place and renamed once it is complete. Use it as a context manager: leaving discards what was not finished.

    Args:
        path: text; the folder must be there.

    Raises: PodwrightError where it cannot be written.
    """

    def __init__(self, path):
        self._path = os.path.abspath(path)
        self._digest = hashlib.sha256()
        try:
            descriptor, self._temporary = tempfile.mkstemp(prefix=".podwright-", dir=os.path.dirname(self._path))
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
            umask = os.umask(0)
            os.umask(umask)
            os.chmod(self._temporary, 0o666 & ~umask)
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
