# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The file of a report."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from ..files import AtomicFile
from .page import DIGEST, digest, render

if TYPE_CHECKING:
    from .model import Report

_PRIVATE = 0o600
_DIGEST = re.compile(rf'name="{DIGEST}" content="(sha256:[0-9a-f]+)"'.encode())
_HEAD_BYTES = 4096


def differs(path: str, report: Report) -> bool:
    """Whether the file does not say the same as a report, apart from the time."""
    try:
        with open(path, "rb") as file:
            found = _DIGEST.search(file.read(_HEAD_BYTES))
    except OSError:
        return True
    return not found or found[1].decode() != digest(report)


def write(path: str, report: Report) -> None:
    """Write a report. A new file is readable by its owner only, since logs may be confidential; another one keeps its mode. Raises: PodwrightError."""
    with AtomicFile(path, mode=None if os.path.isfile(path) else _PRIVATE) as file:
        file.write(render(report).encode("utf-8", "replace"))
        file.finish()
