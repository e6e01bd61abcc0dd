# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an operation reports while it runs; the edges show it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from .text import printable


class Console:
    """Keeps warnings and drops the rest, as in a module, which cannot show anything before it exits.

    Attributes:
        warnings: for the result.
        farewell: what a cancelled operation leaves behind, or an empty string.
        mask: replaces secret values in what is shown while the operation runs.
        conceal: takes secret values that become known later, which neither that nor the result may contain.
    """

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.farewell = ""
        self.mask: Callable[[str], str] = str
        self.conceal: Callable[[Iterable[str]], object] = set

    def progress(self, text: str) -> None:
        """Report the progress of a long wait; called whenever it changes."""

    def line(self, name: str, text: str) -> None:
        """Show a line of output as it is read; the name is its source, or empty if there is only one."""

    def warn(self, text: str) -> None:
        """Add a warning, once."""
        text = printable(text)
        if text not in self.warnings:
            self.warnings.append(text)

    def take_leave(self, text: str) -> None:
        """Report what a cancelled operation leaves behind, in one line: it is about to be terminated, and has no result."""
        self.farewell = printable(text)
