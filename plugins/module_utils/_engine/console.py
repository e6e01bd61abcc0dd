# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How an operation speaks to the person while it works; the edges decide where it goes."""

from __future__ import annotations

from .text import printable


class Console:
    """Collects warnings and ignores the rest: what a module, which cannot speak before its end, uses."""

    def __init__(self):
        self.warnings = []

    def progress(self, text):
        """Say how far a long wait is; called whenever that changes."""

    def line(self, name, text):
        """Show a line of output as it comes; the name says whose it is, where that is not clear."""

    def warn(self, text):
        """Say something the person should know, once."""
        text = printable(text)
        if text not in self.warnings:
            self.warnings.append(text)
