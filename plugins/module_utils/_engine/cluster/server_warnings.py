# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an API server warns of although it accepts a write: deprecated API versions, policies that only warn, fields that have no effect (KEP-1693)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .request import Request

_WARNING = re.compile(r'299 \S+ "((?:[^"\\]|\\.)*)"')  # RFC 7234, section 5.5; an API server uses no other code
_MAX_TEXT = 1000  # characters


class ServerWarnings:
    """Passes on the warnings in responses to writes: each text once for a kind, since the objects of a batch are alike.

    Attributes:
        warn: called with each text.
    """

    def __init__(self) -> None:
        self.warn: Callable[[str], None] = lambda _text: None
        self._seen: set[tuple[str, str]] = set()

    def read(self, request: Request, headers: Mapping[str, str]) -> None:
        """Read the headers of a response."""
        if not request.kind or request.method not in ("PATCH", "POST", "PUT"):
            return  # reads of deprecated kinds are not the user's
        metadata = request.body.get("metadata") if isinstance(request.body, dict) else None
        name = request.name or (metadata.get("name") if isinstance(metadata, dict) else None)
        for quoted in _WARNING.findall(headers.get("Warning", "")):
            text = re.sub(r"\\(.)", r"\1", quoted)[:_MAX_TEXT]
            if (request.kind.name, text) not in self._seen:
                self._seen.add((request.kind.name, text))
                self.warn(f"The API server warns of {request.kind.name}{f' {name!r}' if name else ''}: {text}")
