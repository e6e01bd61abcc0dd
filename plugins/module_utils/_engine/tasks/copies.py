# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The copies of artifacts on the host that runs the module: whether they are still what a task left."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping

from ..errors import PodwrightError

RecordedCopy = Mapping[str, "str | None"]  # an artifact in a record


def stamp_of(path: str) -> str | None:
    """The size and the modification time of a file, without which it need not be read again; None if there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return f"{status.st_size} {status.st_mtime_ns}" if stat.S_ISREG(status.st_mode) else None


def fault_of_copy(entry: RecordedCopy) -> str:
    """What became of the copy of an artifact: the rest of a sentence about it; empty if it exists and is known to be no other file."""
    target, checksum = entry.get("target"), entry.get("checksum")
    if not target:
        return ""
    if not os.path.lexists(target):
        return "does not exist any more"
    stamp = stamp_of(target) if checksum else None
    if not checksum or (stamp and stamp == entry.get("stamp")):
        return ""
    return "is another file now" if stamp is None or _digest(target) not in ("", checksum) else ""


def _digest(path: str) -> str:
    """The sha256 of a file, or an empty text if it cannot be read."""
    from ..transfer.local import LocalTree  # few tasks leave files, and fewer of them were touched
    from ..transfer.tree import ROOT

    try:
        return LocalTree(path).digests([ROOT])[ROOT]
    except PodwrightError:
        return ""
