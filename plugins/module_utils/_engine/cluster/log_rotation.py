# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rotations of a log that is followed."""

from __future__ import annotations

from bisect import bisect_left

NOTE_BYTES = 1 << 11  # of lines between two timestamps that are remembered
CHECK_BYTES = 1 << 20  # of lines between two checks; the kubelet rotates at 10 MiB unless it is configured otherwise


class Rotations:
    """Finds rotations by the first line of the file that the kubelet reads.

    A response does not show them: the kubelet continues with the next file when it gets to know of it, which a busy container delays,
    and omits what the container runtime wrote to the previous file meanwhile.
    Timestamps are as the kubelet writes them.

    Attributes:
        is_large: whether so many bytes were read that the log may have been rotated.
    """

    def __init__(self) -> None:
        self.is_large = False
        self._begun = ""  # the timestamp of the first line of the last file
        self._next = ""  # the same of a file that is not read yet
        self._last = ""
        self._timestamps: list[str] = []  # of some lines since the last check
        self._size = 0  # of all these lines, in bytes

    def add(self, timestamp: str, size: int) -> bool:
        """Take note of a line. Returns: whether it is the first of a file that a check found."""
        self._begun = self._begun or timestamp
        if self._size >= NOTE_BYTES * len(self._timestamps):
            self._timestamps.append(timestamp)
        self._last = timestamp
        self._size += size
        if not self._next or timestamp < self._next:
            return False
        self._next = ""
        return True

    def begin(self, timestamp: str) -> None:
        """Take note of the first line of a file."""
        self._begun = max(self._begun, timestamp)

    @property
    def is_due(self) -> bool:
        """Whether it is time for a check."""
        return self._size >= CHECK_BYTES

    @property
    def may_be_missed(self) -> bool:
        """Whether the log may have been rotated since the last check."""
        return self.is_large and self._size > 0

    def check(self, first: str) -> tuple[str, str] | None:
        """Compare with the timestamp of the first line of the current file, or "" if it has none.

        Returns: the timestamps of a line before a rotation between two lines that were read, and of the line after it.
        """
        self.is_large = True
        timestamps, self._timestamps, self._size = self._timestamps, [self._last], 0
        if first <= self._begun:
            return None
        self._begun = first
        if self._last < first:
            self._next = first
            return None
        index = bisect_left(timestamps, first)
        return timestamps[max(index - 1, 0)], first
