# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Text from YAML, from servers and from containers."""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Iterable
from typing import Any

_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|.)?", re.DOTALL)
CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_INTEGER = re.compile(r"-?[0-9]{1,19}")
_NUMBER = re.compile(r"[+-]?[0-9]{1,30}(?:\.[0-9]{0,30})?(?:[eE][+-]?[0-9]{1,3})?")
SHOWN_CHARACTERS = 1 << 14  # of the end of an output in an error: a line can have any length
DNS_LABEL = re.compile("[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")  # RFC 1123
LARGEST, MAX_PORT = 2**63 - 1, 65535  # of integers of the API
_ESCAPED = re.compile("[\x7f-\uffff]")  # what YAML forbids, among others
_INVALID_LOGIN = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*://)?[^:/@]*:(.+)@", re.DOTALL)
SURROGATE = re.compile("[\ud800-\udfff]")
# The control characters but the tab and the line feed; the separators of lines and paragraphs; what sets the direction of text; invisible annotations
# and tags; what no encoding can write.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufff9-\ufffb\U000e0000-\U000e007f\ud800-\udfff]")


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


def last_lines(text: str, count: int) -> str:
    """The end of a text as it is: at most so many lines, which line feeds alone separate."""
    lines = text.removesuffix("\n").split("\n")[-count:] if count else []
    return "\n".join(lines) + "\n" * (bool(lines) and text.endswith("\n"))


def last_state(line: str) -> str:
    """What a terminal shows of a line in which carriage returns overwrite, such as that of a progress bar: its last state that is not blank."""
    return next((state for state in reversed(line.split("\r")) if printable(state).strip()), "") if "\r" in line else line


def shown_lines(output: str) -> list[str]:
    """The lines at the end of an output, as an error shows them: at most SHOWN_CHARACTERS."""
    return [last_state(line) for line in split_lines(output.rstrip()[-SHOWN_CHARACTERS:])]


def scalar_text(value: object) -> str:
    """A YAML scalar as text, in the spelling of YAML and JSON: `true`, not `True`; nothing for null."""
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def encode(text: str) -> bytes:
    """The bytes of an option's text in UTF-8; Ansible represents invalid bytes of files and names as surrogates, which become those bytes again."""
    return text.encode("utf-8", "surrogateescape")


def parse_integer(value: object, maximum: int = LARGEST, minimum: int = 0) -> int | None:
    """The integer of that range that a value is, or a text of ASCII digits means; None for anything else."""
    if isinstance(value, str):
        value = int(value) if _INTEGER.fullmatch(value) else None
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if minimum <= value <= maximum else None


def parse_number(value: object, largest: float = 1e18) -> float | None:
    """The number that a value is, or a text means, if it is finite and not beyond +-`largest`; None for anything else."""
    if isinstance(value, str):
        value = float(value) if _NUMBER.fullmatch(value) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if -largest <= value <= largest else None


def json_text(value: object) -> str:
    """A string as it is, any other value as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def json_as_yaml(value: object) -> str:
    """A value in JSON that is also YAML, which has every escape of JSON but surrogate pairs."""
    return _ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", json.dumps(value, ensure_ascii=False))


def pointer_step(step: object) -> str:
    """A key or a position as a part of a JSON pointer (RFC 6901)."""
    return str(step).replace("~", "~0").replace("/", "~1")


def with_integers(value: Any) -> Any:
    """A copy of a decoded JSON value with whole numbers such as 2.0 as integers."""
    if isinstance(value, dict):
        return {key: with_integers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [with_integers(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def url_passwords(urls: Iterable[str | None]) -> set[str]:
    """The passwords in URLs, as written and decoded."""
    found = {password for password in map(url_password, urls) if password}
    return found | {urllib.parse.unquote(password) for password in found}


def url_password(url: str | None) -> str | None:
    """The password in a URL, as written, or None; an invalid URL may have no scheme, or characters in the password that must be encoded."""
    try:
        found = urllib.parse.urlsplit(url or "").password
    except ValueError:
        found = None
    invalid = _INVALID_LOGIN.match(url or "")
    return found or (invalid[1] if invalid else None)
