# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The clock, passed to everything that waits, so that tests need not wait."""

from __future__ import annotations

import select
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

_LONGEST_POLL = 2**31 - 1  # milliseconds
_MAX_DOUBLINGS = 60  # 2.0 ** 1024 is too large for a number, and an outage may last as long as that


def pause_after(failures: int, first: float, longest: float) -> float:
    """Seconds to pause after so many failures in a row, at least one: the first pause, doubled for each further failure, up to the longest one."""
    return min(first * 2.0 ** min(failures - 1, _MAX_DOUBLINGS), longest)


class Clock:
    """The clock of this machine."""

    @staticmethod
    def monotonic() -> float:
        """Seconds since an arbitrary point in time; never set back."""
        return time.monotonic()

    @staticmethod
    def now() -> float:
        """Seconds since the epoch."""
        return time.time()

    @staticmethod
    def sleep(seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)

    @staticmethod
    def wait_for(sock: socket.socket, writing: bool, seconds: float) -> tuple[bool, bool]:
        """Wait until a socket is readable or, if `writing`, writable. Returns: (is readable, is writable); both are false after a timeout."""
        poll = select.poll()
        poll.register(sock, select.POLLIN | (select.POLLOUT if writing else 0))
        events = dict(poll.poll(min(max(seconds, 0) * 1000, _LONGEST_POLL))).get(sock.fileno(), 0)
        return bool(events & ~select.POLLOUT), bool(events & select.POLLOUT)
