# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Time, injected wherever something waits, so that tests need not."""

from __future__ import annotations

import select
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

    @staticmethod
    def wait_for(sock, writing, seconds):
        """Wait until a socket can be read or, where asked for, written. Returns: (readable, writable), both false after that time."""
        poll = select.poll()
        poll.register(sock, select.POLLIN | (select.POLLOUT if writing else 0))
        events = dict(poll.poll(max(seconds, 0) * 1000)).get(sock.fileno(), 0)
        return bool(events & ~select.POLLOUT), bool(events & select.POLLOUT)
