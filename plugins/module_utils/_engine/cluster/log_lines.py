# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lines of logs as the API server delivers them, and their timestamps."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from ..errors import PodwrightError
from ..objects.timestamps import read_timestamp
from .transport import pieces_of

# What the kubelet writes instead of a log that it cannot read, with status 200.
UNAVAILABLE = re.compile(rb"unable to retrieve container logs for [a-z-]+://[0-9a-f]+")
MAX_LINE = 1 << 22  # bytes; longer lines are split
TIMESTAMP = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d) ")


def exact_moment(since: str | int | None) -> float | None:
    """The moment of a timestamp with fractions of a second, which the API server ignores; None for any other."""
    moment = read_timestamp(str(since or ""))
    return moment if moment is not None and moment % 1 else None


def lines_since(response: Any, since: float, timestamps: bool) -> Iterator[bytes]:
    """The lines of a response with timestamps since a moment, in seconds since the epoch; `timestamps` keeps these."""
    has_begun = False
    for piece in lines_of(response):
        match = TIMESTAMP.match(piece.content) if piece.begins_line else None
        has_begun = has_begun or bool(match and (read_timestamp(match[0].strip().decode()) or 0) >= since)
        if has_begun:
            yield piece.content[match.end() if match and not timestamps else 0 :] + b"\n" * piece.ends_line


def missing_log(content: bytes | bytearray, pod: str, container: str) -> PodwrightError | None:
    """Why a container has no log any more, if the kubelet answered so."""
    if not UNAVAILABLE.fullmatch(content):
        return None
    problem = f"Container '{container}' of pod '{pod}' has no log any more."
    return PodwrightError(problem, reason="NoLog", hint="Its node has deleted it, as some time after a container has terminated.")


class Piece(NamedTuple):
    """A line without its line feed, or a piece of a line longer than MAX_LINE, or an incomplete last line."""

    content: bytes
    begins_line: bool
    ends_line: bool


def lines_of(response: Any) -> Iterator[Piece]:
    """Lines of a urllib3 response as they arrive, including an incomplete last line.

    A line longer than MAX_LINE is split, at the same bytes however they arrive, so that a container cannot exhaust the memory.
    """
    parts: list[bytes] = []
    size, begins_line = 0, True
    for chunk in pieces_of(response, 1 << 16):
        for number, line in enumerate(chunk.split(b"\n")):
            if number:
                yield Piece(b"".join(parts), begins_line, True)
                parts, size, begins_line = [], 0, True
            while size + len(line) > MAX_LINE:
                cut = MAX_LINE - size
                yield Piece(b"".join([*parts, line[:cut]]), begins_line, False)
                parts, size, begins_line, line = [], 0, False, line[cut:]
            parts.append(line)
            size += len(line)
    if size:
        yield Piece(b"".join(parts), begins_line, False)


class KnownLines:
    """Distinguishes lines that were read before from new ones, in one response.

    Args:
        recent: hashes of lines that were read before, by the second of their timestamps.
    """

    def __init__(self, recent: dict[bytes, Counter[int]]) -> None:
        self._lines: Counter[int] = Counter()
        for lines in recent.values():
            self._lines.update(lines)
        self.is_empty = not self._lines
        self._may_be_missed = not self.is_empty
        self._older_lines = 0

    def contains(self, key: int) -> bool:
        """Whether the line with this hash was read before; each counts as often as it was read."""
        if self._lines.get(key, 0) <= 0:
            return False
        self._lines[key] -= 1
        self._may_be_missed = False
        return True

    def is_missed(self) -> bool:
        """Whether the first new line arrived before any known line; true at most once."""
        is_missed, self._may_be_missed = self._may_be_missed, False
        return is_missed

    def is_rest(self, begins_line: bool) -> bool:
        """Whether a line, or a piece of one, that is new but older than the last line is the rest of a line whose begin is not in the response.

        That was in a previous file, or before the time from which the log is read again. Such a rest is the first line of a response.
        """
        self._older_lines += begins_line
        return self._may_be_missed and self._older_lines == 1

    @property
    def has_only_rest(self) -> bool:
        """Whether nothing has followed the rest of a line."""
        return self._may_be_missed and self._older_lines > 0
