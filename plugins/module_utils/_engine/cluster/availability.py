# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether an API server that has responded can be used at present: it may be restarted while an operation runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import CONNECTION_LOST

if TYPE_CHECKING:
    from ..clock import Clock
    from ..errors import PodwrightError

REQUEST_OUTAGE = 30  # seconds for which a request is sent again while the server cannot be reached
WAIT_OUTAGE = 300  # seconds for which a wait for changes is continued meanwhile
STARTING = 15  # seconds after an outage in which a server denies what it will permit: it has not read its roles and tokens yet


class Availability:
    """The outages of an API server as the requests of a client see them; threads may share it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._has_responded = False
        self._failing_since: float | None = None
        self._returned_at: float | None = None  # after the last outage

    def note_response(self) -> None:
        """Note that the server responded."""
        if self._has_responded and self._failing_since is not None:
            self._returned_at = self._clock.monotonic()
        self._has_responded, self._failing_since = True, None

    def note_failure(self) -> None:
        """Note that a connection failed."""
        if self._failing_since is None:
            self._failing_since = self._clock.monotonic()

    @property
    def failing_since(self) -> float | None:
        """When the first of the connections failed that failed without a response since, by the monotonic clock; None if the last one succeeded."""
        return self._failing_since

    def lets_retry(self, error: PodwrightError, failing_since: float) -> bool:
        """Whether a request may succeed later, because its error is one of an outage or of the start after it, and it was not executed.

        Args:
            failing_since: when its first attempt failed, by the monotonic clock: those of others may succeed meanwhile.
        """
        if error.is_unreachable:
            return self._is_out(REQUEST_OUTAGE, failing_since)
        return error.status in (401, 403) and self._is_starting

    def lets_wait(self, error: PodwrightError) -> bool:
        """Whether a watch may be opened again later, because its error is one of an outage or of the start after it."""
        is_lost = error.reason == CONNECTION_LOST and (self._failing_since is not None or self._is_starting)  # and not just this connection
        if error.is_unreachable or is_lost:
            return self._is_out(WAIT_OUTAGE, self._clock.monotonic())
        return self.lets_retry(error, self._clock.monotonic())

    def describe(self) -> str:
        """The end of a sentence about an outage, or an empty text."""
        since = self._failing_since
        return "" if since is None else f"; the API server has not responded for {self._clock.monotonic() - since:.0f} s"

    @property
    def _is_starting(self) -> bool:
        returned_at = self._returned_at
        return returned_at is not None and self._clock.monotonic() - returned_at < STARTING

    def _is_out(self, seconds: float, failing_since: float) -> bool:
        since = self._failing_since
        return self._has_responded and self._clock.monotonic() - min(failing_since, failing_since if since is None else since) < seconds
