# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Text from YAML, from servers and from containers."""

from __future__ import annotations

import re

_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|.)?", re.DOTALL)
CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # the control characters but the tab and the line feed


def decode(content: bytes | bytearray) -> str:
    """Text of bytes that should be UTF-8; each invalid sequence is replaced by U+FFFD."""
    return content.decode("utf-8", "replace")


def printable(text: str) -> str:
    """A text without escape sequences and control characters, which could manipulate a terminal."""
    return _UNPRINTABLE.sub("", strip_escapes(text))


def strip_escapes(text: str) -> str:
    """A text without the escape sequences of a terminal."""
    return _ESCAPE.sub("", text)


def split_lines(text: str) -> list[str]:
    """The lines of a text: separated by line feeds alone, without the carriage return that a terminal adds."""
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    return [line.removesuffix("\r") for line in lines]


def scalar_text(value: object) -> str:
    """A YAML scalar as text, in the spelling of YAML and JSON: `true`, not `True`; nothing for null."""
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def parse_integer(text: str, maximum: int) -> int | None:
    """The integer from 0 to the maximum that a text of ASCII digits is, or None."""
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(maximum))):
        return None
    return int(text) if int(text) <= maximum else None
