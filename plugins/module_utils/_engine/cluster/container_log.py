# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The log of a container as it is read: in a file, and its end in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..errors import PodwrightError
    from ..files import AtomicFile
    from ..values import Manifest
    from .logs import Gap, LogFollower


class ContainerLog:
    """The log of one container, as far as it was read.

    Args:
        limit: bytes to keep in memory, counted from the end.

    Attributes:
        file: receives the complete log, or None.
        is_truncated: whether `content` lacks the beginning.
        follower: what follows it, or None.
        missing: why there is no log, or None.
        error: why it could not be read or written, or None.
    """

    def __init__(self, pod: Manifest, container: str, limit: int) -> None:
        self.pod, self.container = pod, container
        self.file: AtomicFile | None = None
        self._limit = limit
        self.content = bytearray()
        self.is_truncated = False
        self.follower: LogFollower | None = None
        self.missing: PodwrightError | None = None
        self.error: PodwrightError | None = None

    @property
    def pod_name(self) -> str:
        """The name of the pod."""
        name: str = self.pod["metadata"]["name"]
        return name

    @property
    def gaps(self) -> list[Gap]:
        """The gaps in which lines may be missing."""
        return self.follower.gaps if self.follower else []

    def add(self, data: bytes) -> None:
        """Add a piece of the log."""
        if self.file:
            self.file.write(data)
        self.content += data
        if len(self.content) > 2 * self._limit:
            self.truncate()

    def truncate(self) -> None:
        """Remove the oldest lines beyond the limit."""
        if len(self.content) > self._limit:
            start = self.content.find(b"\n", len(self.content) - self._limit - 1) + 1
            if start in (0, len(self.content)):  # the last line is longer than the limit
                start = len(self.content) - self._limit
            del self.content[:start]
            self.is_truncated = True
