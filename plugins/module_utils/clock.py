# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Time, injected wherever something waits, so that tests need not."""

from __future__ import annotations

import time


class Clock:
    """The machine's own clock."""

    @staticmethod
    def monotonic():
        """Seconds from an arbitrary start, never set back."""
        return time.monotonic()

    @staticmethod
    def now():
        """Seconds since the epoch."""
        return time.time()

    @staticmethod
    def sleep(seconds):
        """Wait that many seconds."""
        time.sleep(seconds)
