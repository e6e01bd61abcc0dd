# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The records of tasks on a Podman host: ConfigMaps as files that only their user can read, beside Podman's storage."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import PodwrightError

if TYPE_CHECKING:
    from ..values import Manifest


class Records:
    """ConfigMaps in the files of a directory, which is created for the first one."""

    def __init__(self, directory: str) -> None:
        self._directory = Path(directory)

    def list(self) -> list[Manifest]:
        """All of them; a file that is invalid counts as missing."""
        try:
            paths = sorted(self._directory.glob("*.json"))
        except OSError:
            paths = []
        return [item for item in map(_read, paths) if item]

    def get(self, namespace: str, name: str) -> Manifest | None:
        """One of them, or None."""
        return _read(self._path(namespace, name))

    def write(self, item: Manifest) -> Manifest:
        """Write one. Returns: it with a uid. Raises: PodwrightError."""
        metadata = item["metadata"]
        path = self._path(metadata["namespace"], metadata["name"])
        written = item | {"metadata": metadata | {"uid": path.stem, "creationTimestamp": "1970-01-01T00:00:00Z"}}
        temporary = path.with_suffix(f".{os.getpid()}.{os.urandom(4).hex()}")
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
                json.dump(written, file)
            os.replace(temporary, path)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            message = f"The record of a task could not be written to {self._directory}: {error.strerror}."
            raise PodwrightError(message, reason="NotWritten", hint="Free space there, or correct its permissions.") from None
        return written

    def delete(self, namespace: str, name: str) -> bool:
        """Delete one. Returns: whether it existed. Raises: PodwrightError."""
        path = self._path(namespace, name)
        try:
            path.unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise PodwrightError(f"The record {path} could not be deleted: {error.strerror}.", reason="NotDeleted") from None
        return True

    def _path(self, namespace: str, name: str) -> Path:
        return self._directory / f"{hashlib.sha256(f'{namespace}/{name}'.encode()).hexdigest()}.json"


def _read(path: Path) -> Manifest | None:
    try:
        item = json.loads(path.read_text(encoding="utf-8"))
        return item if isinstance(item["metadata"]["name"], str) and isinstance(item["metadata"]["namespace"], str) else None
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
