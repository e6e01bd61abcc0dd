# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The output of a command: its beginning for the result, and its lines for the console."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..text import decode

if TYPE_CHECKING:
    from ..console import Console

LONGEST_LINE = 1 << 16  # bytes that are shown at once


class Output:
    """The beginning of an output, up to a limit in bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._content = bytearray()
        self.is_truncated = False

    def add(self, data: bytes) -> None:
        """Add a piece of the output."""
        room = self._limit - len(self._content)
        self._content += data[:room]
        self.is_truncated = self.is_truncated or len(data) > room

    @property
    def content(self) -> bytes:
        """The bytes up to the limit, without a UTF-8 character that the limit splits."""
        content = bytes(self._content)
        if self.is_truncated:
            for missing in range(4):
                whole = content[: len(content) - missing]
                try:
                    whole.decode()
                except UnicodeDecodeError:
                    continue
                return whole
        return content


class LiveLines:
    """Shows the lines of the outputs of a command as they are received. A context manager that shows the last lines on exit.

    Args:
        console: a Console, or None to show nothing.
        name: what is shown before each line, or an empty string.
    """

    def __init__(self, console: Console | None, name: str) -> None:
        self._console, self._name = console, name
        self._outputs: list[bytearray] = []

    def shown(self, add: Callable[[bytes], object]) -> Callable[[bytes], object]:
        """A function that adds a piece to an output and shows the lines that it completes."""
        console = self._console
        if console is None:
            return add
        rest = bytearray()
        self._outputs.append(rest)

        def add_and_show(piece: bytes) -> None:
            add(piece)
            rest.extend(piece)
            *lines, last = rest.split(b"\n")
            if len(last) > LONGEST_LINE:
                lines, last = [*lines, last], bytearray()
            rest[:] = last
            for line in lines:
                console.line(self._name, decode(line.removesuffix(b"\r")))

        return add_and_show

    def __enter__(self) -> LiveLines:
        return self

    def __exit__(self, *_exception: object) -> None:
        for rest in self._outputs if self._console else ():
            if rest and self._console:  # the last line has no line break
                self._console.line(self._name, decode(rest))
            rest.clear()
