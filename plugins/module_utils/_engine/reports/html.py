# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""HTML in which text cannot become markup: what is not Html already is escaped.

Jinja2 would do the same, but a module runs on hosts that have no more than Python.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from html import escape
from typing import TypeAlias

from ..text import printable

_VOID = frozenset(("meta", "rect", "line", "use", "circle", "input", "polyline"))


# What needs neither escaping nor the removal of control characters.
_PLAIN = re.compile(r"[ !#-%(-;=?-~\n]*")


class Html(str):
    """Markup."""

    __slots__ = ()


Child: TypeAlias = "str | Iterable[str]"
"""Text, Html, or several of them."""


def text(value: object) -> Html:
    """A value as text, without control characters and escape sequences of a terminal."""
    return value if isinstance(value, Html) else Html(_escape(str(value)))


def join(parts: Iterable[str]) -> Html:
    """The parts one after the other."""
    return Html("".join([part if isinstance(part, Html) else _escape(part) for part in parts]))


def tag(element: str, /, *children: Child, **attributes: object) -> Html:
    """An element. Attributes that are None or False are omitted, True has no value; `class_` is `class`, `aria_label` is `aria-label`."""
    written = [f"<{element}"]
    for key, value in attributes.items():
        if value is True:
            written.append(f" {_attribute(key)}")
        elif value is not None and value is not False:
            written.append(f' {_attribute(key)}="{_escape(str(value))}"')
    if element in _VOID:
        written.append("/>")
        return Html("".join(written))
    written.append(">")
    for child in children:
        written.append(child if isinstance(child, Html) else _escape(child) if isinstance(child, str) else join(child))
    written.append(f"</{element}>")
    return Html("".join(written))


@functools.cache
def _attribute(name: str) -> str:
    return name.rstrip("_").replace("_", "-")


def _escape(value: str) -> str:
    return value if _PLAIN.fullmatch(value) else escape(printable(value))
