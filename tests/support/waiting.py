# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Waiting for what somebody else does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 0.25  # seconds


def wait_for(condition: Callable[[], Value], seconds: float = 120) -> Value:
    """Poll until the condition holds, less and less often. Returns: its value. Raises: AssertionError after that many seconds."""
    deadline, pause = time.monotonic() + seconds, FIRST_PAUSE
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(pause)
        pause = min(pause * 1.3, LONGEST_PAUSE)
    raise AssertionError(f"it did not hold within {seconds} s")
